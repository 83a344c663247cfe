"""One training step on one or many devices."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PRNGKeyArray

from jaxdiff.training.ema import EMA
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.sharding import AXES, SMALLEST, cut, device_mesh, place, place_batch, shardings, spec
from jaxdiff.training.state import TrainState

Metrics = dict[str, Array]
Gradients = Callable[..., tuple[Array, Metrics, Any]]


class Loss(Protocol):
    """`loss(network, params, key, batch, train=, first=, total=) -> (scalar, metrics)`, means over the examples."""

    def __call__(
        self, network: Any, params: Any, key: PRNGKeyArray, batch: Any, *, train: bool, first: Any, total: int
    ) -> tuple[Array, Metrics]: ...


class Step:
    """What `make_train_step` returns: `step(state, batch, key, progress=0.0) -> (state, metrics)`."""

    def __init__(self, program: Any, mesh: Mesh, parallel: str, accumulate: int, smallest: int):
        self.program, self.mesh = program, mesh
        self._pmap, self._accumulate, self._smallest = parallel == "pmap", accumulate, smallest
        self._made: Callable[[], TrainState | None] = lambda: None

    def __call__(self, state: TrainState, batch: Any, key: PRNGKeyArray, progress: float = 0.0):
        if state is not self._made():  # to look at hundreds of arrays takes milliseconds
            state = self.place(state)
        state, metrics = self.program(state, self.place_batch(batch), key, np.float32(progress))
        self._made = weakref.ref(state)
        return state, metrics

    def shardings(self, state: TrainState) -> TrainState | None:
        """Where the arrays of a state (or shapes) lie; None under pmap."""
        return None if self._pmap else shardings(state, self.mesh, self._smallest)

    def place(self, state: TrainState) -> TrainState:
        """A fresh or restored state, the same on every host, on the mesh; a state of the step is there already."""
        return state if self._pmap else place(state, self.shardings(state))

    def place_batch(self, batch: Any) -> Any:
        """A host's examples on its devices, as the program takes them; a placed batch stays where it is.

        Raises ValueError where all examples of a step do not divide by devices and accumulated parts.
        """
        sizes = {np.shape(leaf)[0] for leaf in jax.tree.leaves(batch)}
        first = jax.tree.leaves(batch)[0]
        if isinstance(first, jax.Array) and getattr(first.sharding, "mesh", None) == self.mesh:
            return batch
        parts = self.mesh.size // jax.process_count() * self._accumulate
        if len(sizes) != 1 or min(sizes) % parts:
            raise ValueError(
                f"got batch leaves with {sorted(sizes)} examples for {self.mesh.size} devices and accumulate="
                f"{self._accumulate}; expected one number that they share equally; to fix: a batch size that is a "
                f"multiple of {self.mesh.size * self._accumulate}"
            )
        if self._pmap:
            return jax.tree.map(lambda a: a.reshape(self.mesh.size, -1, *a.shape[1:]), batch)
        return place_batch(batch, self.mesh)


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    parallel: Literal["jit", "pmap"] = "jit",
    *,
    ema: EMA | None = None,
    power_ema: PowerEMA | None = None,
    devices: Sequence[Any] | None = None,
    fsdp: int = 1,
    accumulate: int = 1,
    smallest: int = SMALLEST,
) -> Step:
    """The compiled `step(state, batch, key, progress=0.0) -> (state, metrics)`; `state` is donated.

    Each device takes an equal share of the batch. parallel: `jit` over a mesh with the axes "data" and "fsdp" on all hosts'
    devices, or `pmap` on those of one host, with parameters repeated. fsdp: devices among which each array of the state of
    `smallest` elements or more is cut (`jaxdiff.training.sharding`): gathered for the step, gradients summed and scattered.
    accumulate: parts in which a device takes its share, one after the other, for the memory of one. All do what one device
    does with the whole batch, up to the order of sums (and dropout masks).

    batch: a pytree of arrays, NumPy or JAX, with leading axis B; of several hosts, each gives its own B / hosts rows. key:
    the run's key, the same at every step, since the step number is folded in here. progress: the used fraction of the
    budget, passed to optimisers that take it. ema, power_ema: how the state's averages follow (`TrainState.create(tracked=)`
    makes room for the latter). A step whose loss or gradient is not finite changes nothing but the counters.
    Raises ValueError where B or the number of devices does not divide.
    """
    mesh = device_mesh(fsdp, devices)
    apply = _make_apply(optax.with_extra_args_support(optimizer), ema or EMA(), power_ema)
    if accumulate < 1:
        raise ValueError(f"got accumulate={accumulate}; expected at least 1; to fix: accumulate=1")

    if parallel == "jit":
        gradients = _gradients(loss, accumulate) if mesh.size == 1 else _over_mesh(loss, accumulate, mesh, smallest)

        def whole(state, batch, key, progress):
            found = gradients(state.network, state.params, jax.random.fold_in(key, state.step), batch)
            state, metrics = apply(state, progress, *found)
            return jax.lax.with_sharding_constraint(state, shardings(state, mesh, smallest)), metrics

        program = jax.jit(whole, donate_argnums=0)
    elif parallel == "pmap":
        if fsdp > 1 or jax.process_count() > 1:
            raise ValueError(
                f"got parallel='pmap' with fsdp={fsdp} and {jax.process_count()} hosts; expected fsdp=1 on one host; "
                "to fix: --parallel jit"
            )

        def share(state, batch, key, progress):
            first, total = _place_in(batch, "data", mesh.size)
            key = jax.random.fold_in(key, state.step)
            found = _gradients(loss, accumulate)(state.network, state.params, key, batch, first, total)
            return apply(state, progress, *jax.lax.pmean(found, "data"))

        program = jax.pmap(
            share,
            "data",
            in_axes=(None, 0, None, None),
            out_axes=None,
            devices=list(mesh.devices.flat),
            donate_argnums=(0,),
        )
    else:
        raise ValueError(f"got parallel={parallel!r}; expected 'jit' or 'pmap'")
    return Step(program, mesh, parallel, accumulate, smallest)


def _gradients(loss: Loss, accumulate: int) -> Gradients:
    """(network, params, key, batch, first, total) -> loss, metrics, gradient: means over the examples of `batch`."""

    def part(network, params, key, batch, first, total):
        def objective(params):
            return loss(network, params, key, batch, train=True, first=first, total=total)

        (value, metrics), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        return value, metrics, gradient

    def gradients(network, params, key, batch, first=0, total=None):
        size = jax.tree.leaves(batch)[0].shape[0]
        total = size if total is None else total
        if accumulate == 1:
            return part(network, params, key, batch, first, total)
        each = size // accumulate
        parts = jax.tree.map(lambda a: a.reshape(accumulate, each, *a.shape[1:]), batch)

        def add(sums, of):
            number, batch = of
            found = part(network, params, key, batch, first + number * each, total)
            return jax.tree.map(jnp.add, sums, found), None

        like = jax.eval_shape(
            lambda b: part(network, params, key, b, first, total), jax.tree.map(lambda a: a[0], parts)
        )
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
        sums, _ = jax.lax.scan(add, zeros, (jnp.arange(accumulate), parts))
        return jax.tree.map(lambda a: a / accumulate, sums)

    return gradients


def _over_mesh(loss: Loss, accumulate: int, mesh: Mesh, smallest: int) -> Gradients:
    """The same for a batch shared by all devices and parameters cut along "fsdp"; the gradient is cut like them.

    Collectives are written out, so that the compiled program holds these and no others: an all-gather for each cut
    array, for its gradient a reduce-scatter and an all-reduce over "data", an all-reduce for all else.
    """
    fsdp = mesh.shape["fsdp"]
    gradients = _gradients(loss, accumulate)

    def gather(axis, leaf):
        return leaf if axis is None else jax.lax.all_gather(leaf, "fsdp", axis=axis, tiled=True)

    def scatter(axis, leaf):
        if axis is None:
            return jax.lax.pmean(leaf, AXES)
        part = jax.lax.psum_scatter(leaf, "fsdp", scatter_dimension=axis, tiled=True) / fsdp
        return jax.lax.pmean(part, "data")

    def whole(network, params, key, batch):
        axes = [cut(leaf.shape, fsdp, smallest) for leaf in jax.tree.leaves(params)]

        def over(function, tree):
            leaves, structure = jax.tree.flatten(tree)
            return structure.unflatten(map(function, axes, leaves))

        def share(params, batch, key):
            first, total = _place_in(batch, AXES, mesh.size)
            value, metrics, gradient = gradients(network, over(gather, params), key, batch, first, total)
            return *jax.lax.pmean((value, metrics), AXES), over(scatter, gradient)

        cuts = jax.tree.map(lambda leaf: spec(leaf, mesh, smallest), params)
        # Without varying-axes checks: with them gradients of whole parameters would be summed a second time.
        return jax.shard_map(
            share, mesh=mesh, in_specs=(cuts, P(AXES), P()), out_specs=(P(), P(), cuts), check_vma=False
        )(params, batch, key)

    return whole


def _place_in(batch: Any, axis: Any, devices: int) -> tuple[Array, int]:
    """Global index of the first example that this device holds, and the number of all."""
    size = jax.tree.leaves(batch)[0].shape[0]
    return jax.lax.axis_index(axis) * size, size * devices


def _make_apply(optimizer: optax.GradientTransformationExtraArgs, ema: EMA, power_ema: PowerEMA | None):
    """(state, progress, loss, metrics, gradient) -> (state, metrics), arrays whole or cut alike."""

    def apply(state: TrainState, progress, value, metrics, gradient):
        norm = optax.global_norm(gradient)
        applied = jnp.isfinite(value) & jnp.isfinite(norm)

        changes, opt_state = optimizer.update(gradient, state.opt_state, state.params, progress=progress)
        params = optax.apply_updates(state.params, changes)
        taken = state.step - state.skipped
        average = ema.update(state.ema, params, taken)
        power = power_ema.update(state.power_ema, params, taken + 1) if power_ema else ()
        new = (params, average, power, opt_state)
        old = (state.params, state.ema, state.power_ema, state.opt_state)
        params, average, power, opt_state = jax.tree.map(lambda a, b: jnp.where(applied, a, b), new, old)

        skipped_in_row = jnp.where(applied, 0, state.skipped_in_row + 1)
        skipped = state.skipped + (1 - applied.astype(jnp.int32))
        state = state.replace(  # type: ignore[attr-defined]
            step=state.step + 1,
            params=params,
            ema=average,
            power_ema=power,
            opt_state=opt_state,
            skipped=skipped,
            skipped_in_row=skipped_in_row,
        )
        counters = {"grad_norm": norm, "skipped": skipped, "skipped_in_row": skipped_in_row}
        return state, {**metrics, **counters}

    return apply
