"""How much arithmetic a training step is, and what a device could do at most."""

from collections.abc import Mapping
from typing import Any

import jax

PEAKS = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L4": 121e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}
"""Dense bfloat16 operations a second of a device, by the beginning of its kind (vendors' data sheets)."""


def peak(device: Any = None) -> float | None:
    """Operations a second of one device (default the first) at most; None where it is not in the table."""
    kind = (device or jax.devices()[0]).device_kind
    return next((value for name, value in PEAKS.items() if kind.startswith(name)), None)


def step_flops(loss: Any, network: Any, params: Any, batch: Any, size: int, also: Mapping[str, Any] = {}) -> float:
    """Operations of loss and gradient of `size` examples like those of `batch`, by XLA's count; nothing is compiled.

    also: further keyword arguments of the loss (`jaxdiff.training.objective.extras`).
    The update is left out, and what rematerialisation computes again is not counted: the model's own arithmetic.
    """
    shape = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype)  # noqa: E731
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), batch)

    def objective(params, key, batch, also):
        return loss(network, params, key, batch, train=True, first=0, total=1, **also)[0]

    args = jax.tree.map(shape, params), jax.random.key(0), one, jax.tree.map(shape, dict(also))
    cost = jax.jit(jax.grad(objective)).lower(*args).cost_analysis() or {}
    return float(cost.get("flops", 0)) * size
