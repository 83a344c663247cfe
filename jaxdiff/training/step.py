"""One training step on one or many devices."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PRNGKeyArray

from jaxdiff.training.ema import EMA
from jaxdiff.training.state import TrainState

Metrics = dict[str, Array]
Step = Callable[..., tuple[TrainState, Metrics]]


class Loss(Protocol):
    """`loss(network, params, key, batch, train=, first=, total=) -> (scalar, metrics)`, means over the examples."""

    def __call__(
        self, network: Any, params: Any, key: PRNGKeyArray, batch: Any, *, train: bool, first: Any, total: int
    ) -> tuple[Array, Metrics]: ...


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    parallel: Literal["jit", "pmap"] = "jit",
    *,
    ema: EMA | None = None,
    devices: list | None = None,
) -> Step:
    """The jitted `step(state, batch, key, progress=0.0) -> (state, metrics)`; `state` is donated.

    Each device takes an equal share of the batch, parameters are replicated: `jit` over a mesh with one axis, "data",
    or `pmap`. Both do what one device does with the whole batch, up to the order of sums.

    batch: a pytree of arrays with leading axis B (global), NumPy or JAX. key: the run's key, the same at every step,
    since the step number is folded in here. progress: the used fraction of the budget, passed to optimisers that take
    it. A step whose loss or gradient is not finite changes nothing but the counters. Raises ValueError where B does
    not divide by the number of devices.
    """
    devices = list(devices or jax.devices())
    update = _make_update(loss, optax.with_extra_args_support(optimizer), ema or EMA())
    mesh = Mesh(np.asarray(devices), ("data",))
    replicated, by_example = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))

    if parallel == "jit":

        def whole(state, batch, key, progress):
            size = jax.tree.leaves(batch)[0].shape[0]
            return update(state, batch, key, progress, first=0, total=size, mean=lambda tree: tree)

        program = jax.jit(
            whole,
            in_shardings=(replicated, by_example, replicated, replicated),
            out_shardings=replicated,
            donate_argnums=0,
        )
    elif parallel == "pmap":

        def share(state, batch, key, progress):
            size = jax.tree.leaves(batch)[0].shape[0]
            first = jax.lax.axis_index("data") * size
            mean = lambda tree: jax.lax.pmean(tree, "data")  # noqa: E731
            return update(state, batch, key, progress, first=first, total=size * len(devices), mean=mean)

        program = jax.pmap(
            share, "data", in_axes=(None, 0, None, None), out_axes=None, devices=devices, donate_argnums=(0,)
        )
    else:
        raise ValueError(f"got parallel={parallel!r}; expected 'jit' or 'pmap'")

    def step(state, batch, key, progress=0.0):
        sizes = {np.shape(leaf)[0] for leaf in jax.tree.leaves(batch)}
        if len(sizes) != 1 or min(sizes) % len(devices):
            raise ValueError(
                f"got batch leaves with {sorted(sizes)} examples for {len(devices)} devices; expected one number that "
                f"they share equally; to fix: a batch size that is a multiple of {len(devices)}"
            )
        if parallel == "pmap":
            batch = jax.tree.map(lambda a: a.reshape(len(devices), -1, *a.shape[1:]), batch)
        else:
            batch = jax.device_put(batch, by_example)
            state = _place(state, replicated)
        return program(state, batch, key, np.float32(progress))

    return step


def _place(state: TrainState, sharding: NamedSharding) -> TrainState:
    """Moves a fresh or restored state onto the mesh; a state that comes from the step is there already."""
    return state if getattr(state.step, "sharding", None) == sharding else jax.device_put(state, sharding)


def _make_update(loss: Loss, optimizer: optax.GradientTransformationExtraArgs, ema: EMA):
    """(state, batch, key, ...) -> (state, metrics) for the examples `first` to `first + B` of `total`."""

    def update(state: TrainState, batch, key, progress, *, first, total, mean):
        key = jax.random.fold_in(key, state.step)

        def objective(params):
            return loss(state.network, params, key, batch, train=True, first=first, total=total)

        (value, metrics), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        value, metrics, gradient = mean((value, metrics, gradient))
        norm = optax.global_norm(gradient)
        applied = jnp.isfinite(value) & jnp.isfinite(norm)

        changes, opt_state = optimizer.update(gradient, state.opt_state, state.params, progress=progress)
        params = optax.apply_updates(state.params, changes)
        average = ema.update(state.ema, params, state.step - state.skipped)
        new = (params, average, opt_state)
        old = (state.params, state.ema, state.opt_state)
        params, average, opt_state = jax.tree.map(lambda a, b: jnp.where(applied, a, b), new, old)

        skipped_in_row = jnp.where(applied, 0, state.skipped_in_row + 1)
        skipped = state.skipped + (1 - applied.astype(jnp.int32))
        state = state.replace(  # type: ignore[attr-defined]
            step=state.step + 1,
            params=params,
            ema=average,
            opt_state=opt_state,
            skipped=skipped,
            skipped_in_row=skipped_in_row,
        )
        counters = {"grad_norm": norm, "skipped": skipped, "skipped_in_row": skipped_in_row}
        return state, {**metrics, **counters}

    return update
