"""Where a step's time goes, and what rematerialisation costs and saves."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.clock import median_seconds, ratios, seconds, turns
from jaxdiff.nn.conv import Conv
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step


def profile(rounds: int = 5) -> dict[str, Any]:
    """Where a step's time goes: forward, with gradient, and all of it; rates of a 3 x 3 convolution and its gradients."""
    network, batch = jd.UNet(patch_size=2), 8
    images = {"image": np.random.default_rng(0).standard_normal((batch, 64, 64, 1), np.float32)}
    loss, optimizer = jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine())), AdamW().build()
    state = TrainState.create(jax.random.key(0), network, optimizer, images)
    forward = lambda params: loss(network, params, jax.random.key(1), images)[0]  # noqa: E731
    step = make_train_step(loss, optimizer)
    result: dict[str, Any] = {
        "forward_seconds": median_seconds(partial(jax.jit(forward), state.params), rounds),
        "forward_and_gradient_seconds": median_seconds(partial(jax.jit(jax.grad(forward)), state.params), rounds),
    }
    result["step_seconds"] = median_seconds(_Steps(step, state, images), rounds)
    result = {name: round(value, 4) for name, value in result.items()} | {
        "batch": batch,
        "convolutions_gflop_per_second": {},
    }
    for shape, out in (((4, 64, 64, 64), 64), ((4, 32, 32, 128), 128), ((4, 16, 16, 256), 256)):
        rng = np.random.default_rng(0)
        x, kernel, dy = (
            jnp.asarray(rng.standard_normal(size, np.float32))
            for size in (shape, (3, 3, shape[-1], out), (*shape[:-1], out))
        )
        one = lambda x, kernel: Conv(out, (3, 3), use_bias=False).apply({"params": {"kernel": kernel}}, x)  # noqa: B023, E731
        convolved = jax.vmap(one, in_axes=(0, None))
        by = lambda argument: lambda x, kernel, dy: jax.vjp(convolved, x, kernel)[1](dy)[argument]  # noqa: B023, E731
        giga = 2e-9 * 9 * np.prod(shape) * out
        result["convolutions_gflop_per_second"][f"{shape} to {out}"] = {
            "forward": round(giga / median_seconds(partial(jax.jit(convolved), x, kernel), rounds)),
            "by_input": round(giga / median_seconds(partial(jax.jit(by(0)), x, kernel, dy), rounds)),
            "by_kernel": round(giga / median_seconds(partial(jax.jit(by(1)), x, kernel, dy), rounds)),
        }
    return result


class _Steps:
    """Each call is a step further: a step's state is given up to the next."""

    def __init__(self, step: Any, state: TrainState, images: dict[str, np.ndarray]):
        self.step, self.state, self.images = step, state, images

    def __call__(self) -> TrainState:
        self.state = self.step(self.state, self.images, jax.random.key(1))[0]
        return self.state


def rematerialisation(on_gpu: bool, rounds: int = 5) -> dict[str, Any]:
    """What each policy of `UNet.remat` costs in time, and the bytes that it keeps from the forward for the backward pass.

    The compiled step's own temporary memory stands beside it; XLA's CPU backend orders the work so that it stays the same.
    """
    batch, size = (64, 128) if on_gpu else (8, 256)
    images = {"image": np.random.default_rng(0).standard_normal((batch, size, size, 1), np.float32)}
    loss, optimizer = jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine())), AdamW().build()
    sides, rows = {}, {}
    for remat in ("none", "cheap", "all"):
        network = jd.UNet(remat=remat, patch_size=2, dtype="bfloat16" if on_gpu else "float32")
        step = make_train_step(loss, optimizer)
        state = step.place(TrainState.create(jax.random.key(0), network, optimizer, images))
        placed = step.place_batch(images)
        lowered = step.program.lower(state, placed, jax.random.key(1), np.float32(0))
        forward = lambda params: loss(network, params, jax.random.key(1), images)[0]  # noqa: B023, E731
        residuals = jax.tree.leaves(jax.eval_shape(lambda p: jax.vjp(forward, p)[1], state.params))  # noqa: B023
        rows[remat] = {
            "kept_mb": round(sum(leaf.size * leaf.dtype.itemsize for leaf in residuals) / 1e6, 1),
            "temporary_mb": round(lowered.compile().memory_analysis().temp_size_in_bytes / 1e6, 1),
        }
        steps = _Steps(step, step(state, placed, jax.random.key(1))[0], images)
        sides[remat] = partial(seconds, steps)
    times = turns(sides, rounds)
    for remat, row in rows.items():
        row |= {"step_time_over_none": round(ratios(times[remat], times["none"])[0], 3)}
    return {"batch": batch, "size": size, **rows}
