"""Programs of the library, traced for chips that are not here: one network call, a whole sampler, a training step.

Nothing is computed, and no parameters are made: all arguments are shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxdiff.chips.target import Target
from jaxdiff.nn.condition import TOLD, expected
from jaxdiff.sampling import sample
from jaxdiff.training.sharding import AXES
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

Spatial = tuple[int, ...]


def conditions(network: Any, batch: int, spatial: Sequence[int]) -> dict[str, np.ndarray] | None:
    """Conditions of images that the network reads, all 0, with leading batch; None where it reads none.

    Without span and guidance, which solver and loss tell it.
    """
    read = expected(network, batch, tuple(spatial))
    of_images = {name: one for name, one in read.items() if name not in TOLD}
    return {name: np.zeros(one.shape, one.dtype) for name, one in of_images.items()} or None


def call(target: Target, denoise: Any, shape: Spatial, batch: int, cond: Any = None) -> jax.stages.Traced:
    """One network call of a batch on one device, as `jd.sample` makes it. denoise: arrays or their shapes as leaves."""
    replicated = NamedSharding(target.mesh(1), P())
    arrays, rest = eqx.partition(denoise, _is_array)

    def run(arrays, x, lam, cond):
        called = eqx.combine(arrays, rest)
        return jax.vmap(lambda x, lam, cond: called(x, lam, cond))(x, lam, cond)

    x, lam = jax.ShapeDtypeStruct((batch, *shape), jnp.float32), jax.ShapeDtypeStruct((batch,), jnp.float32)
    return jax.jit(run, in_shardings=replicated, out_shardings=replicated).trace(_shapes(arrays), x, lam, _shapes(cond))


def sampler(
    target: Target,
    denoise: Any,
    shape: Spatial,
    batch: int,
    *,
    solver: Any,
    grid: np.ndarray,
    cond: Callable[[int], Any] = lambda num: None,
    mesh: Mesh | None = None,
) -> jax.stages.Traced:
    """The whole of `jd.sample`, `batch` images a device, over `mesh` (default all devices)."""
    mesh = target.mesh() if mesh is None else mesh
    arrays, rest = eqx.partition(denoise, _is_array)
    windows = mesh.shape.get("window", 1)
    num = batch * mesh.size // windows
    replicated = NamedSharding(mesh, P())

    def run(arrays, seed, cond):
        return sample(
            jax.random.key(seed),
            eqx.combine(arrays, rest),
            shape=shape,
            num=num,
            batch=batch,
            mesh=mesh,
            solver=solver,
            grid=grid,
            cond=cond,
        ).images

    seed = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.jit(run, in_shardings=replicated).trace(_shapes(arrays), seed, _shapes(cond(num)))


def training_step(
    target: Target,
    network: Any,
    loss: Any,
    optimizer: Any,
    batch: dict[str, Any],
    *,
    size: int,
    fsdp: int = 1,
    accumulate: int = 1,
    ema: Any = None,
    power_ema: Any = None,
    teacher: Any = None,
    devices: int | None = None,
) -> jax.stages.Traced:
    """One training step of `size` examples over all devices.

    Args:
        target: whose devices take part.
        network: that is trained.
        loss: of the step.
        optimizer: Optax's.
        batch: one example or more as the loss takes them, whose shapes count.
        size: examples of a step, over all devices.
        fsdp: as for `make_train_step`.
        accumulate: as for `make_train_step`.
        ema: as for `make_train_step`.
        power_ema: as for `make_train_step`.
        teacher: of a loss that reads one.
        devices: how many take part; default all.

    Returns:
        JAX's traced program.

    Raises:
        ValueError: where devices, fsdp, accumulate and size do not divide.
    """
    chosen = target.devices[:devices]
    step = make_train_step(
        loss, optimizer, ema=ema, power_ema=power_ema, devices=chosen, fsdp=fsdp, accumulate=accumulate
    )
    if size % (parts := len(chosen) * accumulate):
        raise ValueError(
            f"got a batch of {size} for {len(chosen)} devices and accumulate={accumulate}; expected a multiple of "
            f"{parts}; to fix: --batch {-(-size // parts) * parts}"
        )
    tracked = len(power_ema.lengths) if power_ema else 0
    example = jax.tree.map(lambda leaf: np.zeros((1, *np.shape(leaf)[1:]), leaf.dtype), batch)
    like = TrainState.shapes(jax.random.key(0), network, optimizer, example, tracked=tracked)
    placed = lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)  # noqa: E731
    replicated, shared = NamedSharding(step.mesh, P()), NamedSharding(step.mesh, P(AXES))
    key = jax.eval_shape(lambda: jax.random.key(0))
    examples = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype), example)
    return step.program.trace(
        jax.tree.map(placed, like, step.shardings(like)),
        jax.tree.map(lambda leaf: placed(leaf, shared), examples),
        placed(key, replicated),
        jax.ShapeDtypeStruct((), jnp.float32, sharding=replicated),
        jax.tree.map(lambda leaf: placed(leaf, replicated), _shapes(teacher)),
    )


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(leaf)), tree)
