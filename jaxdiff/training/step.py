"""One training step on one or many devices."""

import operator
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from jaxdiff.seeds import check_key
from jaxdiff.training.ema import EMA
from jaxdiff.training.gradients import gradients_of, gradients_over, place_in
from jaxdiff.training.objective import Loss, check_teacher, extras, extras_of
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.sharding import SMALLEST, device_mesh, place, place_batch, shardings
from jaxdiff.training.state import TrainState


class Step:
    """What `make_train_step` returns: `step(state, batch, key, progress=0.0, teacher=None) -> (state, metrics)`."""

    def __init__(self, program: Any, loss: Loss, mesh: Mesh, parallel: str, accumulate: int, smallest: int):
        self.program, self.loss, self.mesh = program, loss, mesh
        self._pmap, self._accumulate, self._smallest = parallel == "pmap", accumulate, smallest
        self._made: Callable[[], TrainState | None] = lambda: None
        self._placed: list[Any] = []

    def __call__(
        self, state: TrainState, batch: Any, key: PRNGKeyArray, progress: float = 0.0, teacher: PyTree | None = None
    ):
        check_key(key)
        if state is not self._made():  # to look at hundreds of arrays takes milliseconds
            state = self.place(state)
        if teacher is not None or "teacher" in extras_of(self.loss):
            teacher = self.place_teacher(teacher)
        state, metrics = self.program(state, self.place_batch(batch), key, np.float32(progress), teacher)
        self._made = weakref.ref(state)
        return state, metrics

    def shardings(self, state: TrainState) -> TrainState | None:
        """Where the arrays of a state (or shapes) lie; None under pmap."""
        return None if self._pmap else shardings(state, self.mesh, self._smallest)

    def place(self, state: TrainState) -> TrainState:
        """A fresh or restored state, the same on every host, on the mesh; a state of the step is there already."""
        return state if self._pmap else place(state, self.shardings(state))

    def place_teacher(self, teacher: PyTree) -> PyTree:
        """A teacher on the mesh, its large arrays cut as those of the state; one that lies there stays.

        Raises ValueError for one that the loss does not read, for none where it does, and for leaves that are no arrays.
        """
        leaves, structure = jax.tree.flatten(teacher)
        if leaves and len(leaves) == len(self._placed) and all(map(operator.is_, leaves, self._placed)):
            return teacher
        check_teacher(self.loss, teacher, "step(state, batch, key, teacher=...)")
        if strange := [
            leaf for leaf in leaves if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float)
        ]:
            raise ValueError(
                f"got a teacher with a {type(strange[0]).__name__} in it; expected a pytree of arrays; to fix: keep "
                "functions and networks in the loss, or in static fields"
            )
        arrays = structure.unflatten(leaf if isinstance(leaf, jax.Array) else np.asarray(leaf) for leaf in leaves)
        smallest = self._smallest if not self._pmap else sys.maxsize  # repeated on all devices
        teacher = place(arrays, shardings(arrays, self.mesh, smallest))
        self._placed = jax.tree.leaves(teacher)
        return teacher

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
    """The compiled `step(state, batch, key, progress=0.0, teacher=None) -> (state, metrics)`; `state` is donated.

    Each device takes an equal share of the batch. All layouts do what one device does with the whole batch, up to the
    order of sums (and dropout masks). A step whose loss or gradient is not finite changes nothing but the counters.

    Of the step: `batch` is a pytree of arrays, NumPy or JAX, with leading axis B; of several hosts, each gives its own
    B / hosts rows. `key` is the run's, the same at every step, since the step number is folded in here. `progress` is
    the used fraction of the budget, passed to optimisers that take it. `teacher`, for a loss that asks for one
    (`jaxdiff.training.objective.Loss`), is any pytree of arrays; other values are no new compilation, and
    `step.place_teacher(teacher)` puts it where it stays. `metrics` are the loss's own, averaged over the devices, and
    "loss", "grad_norm", "skipped", "skipped_in_row".

    Args:
        loss: a function of (network, params, key, batch); see `Loss`.
        optimizer: of Optax.
        parallel: `jit` over a mesh with the axes "data" and "fsdp" on all hosts' devices, or `pmap` on those of one
            host, with parameters repeated.
        ema: how the state's average follows.
        power_ema: how its power-function averages follow (`TrainState.create(tracked=)` makes room for them).
        devices: default all.
        fsdp: devices among which large arrays of the state are cut (`jaxdiff.training.sharding`): gathered for the step,
            gradients summed and scattered.
        accumulate: parts in which a device takes its share, one after the other, for the memory of one.
        smallest: elements of an array from which it is cut.

    Returns:
        The step.

    Raises:
        ValueError: where B or the number of devices does not divide; by the step, for a teacher that the loss does not
            read, and for none where it does.
    """
    mesh = device_mesh(fsdp, devices)
    apply = _make_apply(optax.with_extra_args_support(optimizer), ema or EMA(), power_ema)
    if accumulate < 1:
        raise ValueError(f"got accumulate={accumulate}; expected at least 1; to fix: accumulate=1")

    if parallel == "jit":
        gradients = (
            gradients_of(loss, accumulate) if mesh.size == 1 else gradients_over(loss, accumulate, mesh, smallest)
        )

        def step(state, batch, key, progress, teacher=None):
            also = extras(loss, state.ema, teacher, state.step)
            evaluation = gradients(state.network, state.params, jax.random.fold_in(key, state.step), batch, also)
            state, metrics = apply(state, progress, *evaluation)
            return jax.lax.with_sharding_constraint(state, shardings(state, mesh, smallest)), metrics

        program = jax.jit(step, donate_argnums=0)
    elif parallel == "pmap":
        if fsdp > 1 or jax.process_count() > 1:
            raise ValueError(
                f"got parallel='pmap' with fsdp={fsdp} and {jax.process_count()} hosts; expected fsdp=1 on one host; "
                "to fix: --parallel jit"
            )

        def share(state, batch, key, progress, teacher):
            first, total = place_in(batch, "data", mesh.size)
            key, also = jax.random.fold_in(key, state.step), extras(loss, state.ema, teacher, state.step)
            evaluation = gradients_of(loss, accumulate)(state.network, state.params, key, batch, also, first, total)
            return apply(state, progress, *jax.lax.pmean(evaluation, "data"))

        program = jax.pmap(
            share,
            "data",
            in_axes=(None, 0, None, None, None),
            out_axes=None,
            devices=list(mesh.devices.flat),
            donate_argnums=(0,),
        )
    else:
        raise ValueError(f"got parallel={parallel!r}; expected 'jit' or 'pmap'")
    return Step(program, loss, mesh=mesh, parallel=parallel, accumulate=accumulate, smallest=smallest)


def _make_apply(optimizer: optax.GradientTransformationExtraArgs, ema: EMA, power_ema: PowerEMA | None):
    """(state, progress, loss, metrics, gradient) -> (state, metrics), arrays whole or cut alike."""

    def apply(state: TrainState, progress, value, metrics, gradient):
        norm = optax.global_norm(gradient)
        applied = jnp.isfinite(value) & jnp.isfinite(norm)

        changes, opt_state = optimizer.update(gradient, state.opt_state, state.params, progress=progress)
        params = optax.apply_updates(state.params, changes)
        updates = state.step - state.skipped
        average = ema.update(state.ema, params, updates)
        power = power_ema.update(state.power_ema, params, updates + 1) if power_ema else ()
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
        if taken_names := sorted({*metrics} & {*counters}):
            raise ValueError(
                f"got metrics of the loss named {', '.join(taken_names)}; expected other names; to fix: rename them"
            )
        return state, {"loss": value, **metrics, **counters}

    return apply
