"""One image from its start to its end along the rows of a table, by one `diffrax.diffeqsolve`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdiff.process.gaussian import namespace, on_host, step_noise
from jaxdiff.sampling.adjoint import AlongRows
from jaxdiff.sampling.carried import KeepsX0, Remembers, Threaded, still
from jaxdiff.solvers.base import Rows, RowSolver, SolveArgs, drift, tabulate
from jaxdiff.solvers.stepped import Stepped, cost

NoiseSource = Callable[[Array, Array, tuple[int, ...], Any], Array]
"""(image key, row index, shape, dtype) -> N(0, I); `process.gaussian.step_noise` unless a test replaces it."""


class Solved(NamedTuple):
    """One image: the result, how many denoiser calls it took, stored states and D of their steps, (k, *shape) or None."""

    image: Array
    calls: Array | int
    trajectory: Array | None
    x0: Array | None


class OnRows(eqx.Module):
    """A fixed grid: the table's rows, one after the other; of a padded table the first `live`."""

    solver: RowSolver
    rows: Rows
    end: np.ndarray
    final: str = eqx.field(static=True)
    trajectory: int | None = eqx.field(static=True)
    adjoint: diffrax.AbstractAdjoint = eqx.field(static=True)
    noise: NoiseSource = eqx.field(static=True, default=step_noise)
    once: int = eqx.field(static=True, default=0)
    keep_x0: bool = eqx.field(static=True, default=False)
    live: np.ndarray | None = None

    @property
    def steps(self) -> Any:
        """Rows that are walked: a number, or where the table is padded an array."""
        return len(self.rows.last) if self.live is None else self.live

    @property
    def calls(self) -> Any:
        """Denoiser calls of one image, as `steps` a number or an array."""
        after = self.final == "denoise" and self.solver.calls_after
        return self.steps * self.solver.evaluations + self.once * (self.steps > 0) + after

    def __call__(
        self, denoise: Callable, key: Array, x: Array, memory: Callable[[Array], PyTree] | None = None
    ) -> Solved:
        """memory: of a `Remembering` denoiser, which is then called as (x, lam, memory, step) and returns it too."""
        if isinstance(self.adjoint, AlongRows):
            denoise = jax.checkpoint(denoise)  # a network's activations are computed again, one call at a time
        rows = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype if leaf.dtype == bool else x.dtype), self.rows)
        capacity = len(rows.last)
        solver, state, past = self.solver, x, None if memory is None else memory(x)
        if self.keep_x0:
            solver, state = KeepsX0(solver=solver), (x, jnp.full_like(x, jnp.nan))
        if memory is not None:
            solver = Threaded(solver=solver)
        states: Any = jax.tree.map(lambda leaf: leaf[None], state)
        if capacity:
            run = SolveArgs(denoise, rows, lambda k: self.noise(key, k, x.shape, x.dtype), key, self.steps)
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(still if solver is not self.solver or solver.reads_span else drift),
                solver,
                t0=0.0,
                t1=1.0 * self.steps,
                dt0=1.0,
                y0=state,
                args=run if memory is None else Remembers(run, past),
                saveat=diffrax.SaveAt(t1=True, steps=self.trajectory or 0, solver_state=memory is not None),
                stepsize_controller=diffrax.ConstantStepSize(),
                adjoint=self.adjoint,
                max_steps=capacity,
                throw=False,
            )
            states = solution.ys
            past = past if memory is None else solution.solver_state[1]  # type: ignore[index]
        states, x0s = states if self.keep_x0 else (states, None)
        if self.final == "denoise" and self.solver.calls_after:
            end = states[-1], jnp.asarray(self.end, x.dtype)
            x0 = denoise(*end) if memory is None else denoise(*end, past, jnp.asarray(self.steps, jnp.int32))[0]
            saved = capacity // self.trajectory if self.trajectory else 0
            states = jnp.concatenate([states[:saved], self.solver.result(x0)[None]])
            x0s = None if x0s is None else jnp.concatenate([x0s[:saved], x0[None]])
        return Solved(states[-1], self.calls, states if self.trajectory else None, x0s)


def on_rows(
    solver: RowSolver | diffrax.AbstractSolver,
    grid: np.ndarray,
    final: str = "denoise",
    trajectory: int | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    noise: NoiseSource = step_noise,
    eta: float = 0.0,
    *,
    keep_x0: bool = False,
    capacity: int | None = None,
) -> OnRows:
    """`solver` over the rows of `grid`; a diffrax solver takes one step for each interval, on (★) at `eta`.

    capacity: rows that the table is padded to. Raises ValueError where it has more.
    """
    once = 0 if isinstance(solver, RowSolver) else cost(solver, with_error=False).once
    rowed = solver if isinstance(solver, RowSolver) else Stepped(solver, eta)
    adjoint = AlongRows() if adjoint is None else adjoint
    rows, live = tabulate(rowed, grid, final), None
    if capacity is not None:
        rows, live = padded(rows, capacity), np.asarray(len(rows.last), np.int32)
    return OnRows(
        rowed.kernel,
        rows,
        end=on_host(grid[-1]),
        final=final,
        trajectory=trajectory,
        adjoint=adjoint,
        noise=noise,
        once=once,
        keep_x0=keep_x0,
        live=live,
    )


def padded(rows: Rows, capacity: int) -> Rows:
    """The table with its last row repeated up to `capacity` rows. Raises ValueError where there are more."""
    more = capacity - len(rows.last)
    if more < 0:
        raise ValueError(
            f"got rows={capacity} for a run of {len(rows.last)} steps; expected as many or more; to fix: "
            f"rows={len(rows.last)}"
        )

    def pad(leaf):
        last = leaf[-1:] if len(leaf) else np.zeros((1, *leaf.shape[1:]), leaf.dtype)
        return namespace(leaf).concatenate([leaf, np.repeat(last, more, 0)])

    return jax.tree.map(pad, rows)
