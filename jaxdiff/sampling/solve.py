"""One image from its start to its end, by one `diffrax.diffeqsolve`: along rows, or adaptively in λ."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdiff.process.gaussian import on_host, step_noise
from jaxdiff.sampling.adjoint import AlongRows
from jaxdiff.sampling.first_stages import CountFirstStages
from jaxdiff.sampling.memory import Remembers, Threaded, still
from jaxdiff.solvers.base import Rows, RowSolver, Run, drift, tabulate
from jaxdiff.solvers.stepped import Stepped, cost, terms

NoiseSource = Callable[[Array, Array, tuple[int, ...], Any], Array]
"""(image key, row index, shape, dtype) -> N(0, I); `process.gaussian.step_noise` unless a test replaces it."""


class Solved(NamedTuple):
    """One image: the result, how many denoiser calls it took, and stored states (k, *shape) or None."""

    image: Array
    calls: Array | int
    trajectory: Array | None


class OnRows(eqx.Module):
    """A fixed grid: the table's rows, one after the other."""

    solver: RowSolver
    rows: Rows
    end: np.ndarray
    final: str = eqx.field(static=True)
    trajectory: int | None = eqx.field(static=True)
    adjoint: diffrax.AbstractAdjoint = eqx.field(static=True)
    noise: NoiseSource = eqx.field(static=True, default=step_noise)
    once: int = eqx.field(static=True, default=0)

    @property
    def calls(self) -> int:
        """Denoiser calls of one image."""
        steps = len(self.rows.last)
        after = self.final == "denoise" and self.solver.calls_after
        return steps * self.solver.evaluations + (self.once if steps else 0) + after

    def __call__(
        self, denoise: Callable, key: Array, x: Array, memory: Callable[[Array], PyTree] | None = None
    ) -> Solved:
        """memory: of a `Remembering` denoiser, which is then called as (x, lam, memory, step) and returns it too."""
        if isinstance(self.adjoint, AlongRows):
            denoise = jax.checkpoint(denoise)  # a network's activations are computed again, one call at a time
        rows = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype if leaf.dtype == bool else x.dtype), self.rows)
        steps = len(rows.last)
        states, past = x[None], None if memory is None else memory(x)
        if steps:
            run = Run(denoise, rows, lambda k: self.noise(key, k, x.shape, x.dtype), key)
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(drift if memory is None else still),
                self.solver if memory is None else Threaded(solver=self.solver),
                t0=0.0,
                t1=float(steps),
                dt0=1.0,
                y0=x,
                args=run if memory is None else Remembers(run, memory),
                saveat=diffrax.SaveAt(t1=True, steps=self.trajectory or 0, solver_state=memory is not None),
                stepsize_controller=diffrax.ConstantStepSize(),
                adjoint=self.adjoint,
                max_steps=steps,
                throw=False,
            )
            assert solution.ys is not None
            states = solution.ys
            past = past if memory is None else solution.solver_state[1]  # type: ignore[index]
        if self.final == "denoise" and self.solver.calls_after:
            end = states[-1], jnp.asarray(self.end, x.dtype)
            result = self.solver.result(denoise(*end) if memory is None else denoise(*end, past, jnp.int32(steps))[0])
            kept = steps // self.trajectory if self.trajectory else 0
            states = jnp.concatenate([states[:kept], result[None]])
        return Solved(states[-1], self.calls, states if self.trajectory else None)


def on_rows(
    solver: RowSolver | diffrax.AbstractSolver,
    grid: np.ndarray,
    final: str = "denoise",
    trajectory: int | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    noise: NoiseSource = step_noise,
    eta: float = 0.0,
) -> OnRows:
    """`solver` over the rows of `grid`; a diffrax solver takes one step for each interval, on (★) at `eta`."""
    once = 0 if isinstance(solver, RowSolver) else cost(solver, with_error=False).once
    rowed = solver if isinstance(solver, RowSolver) else Stepped(solver, eta)
    adjoint = AlongRows() if adjoint is None else adjoint
    rows = tabulate(rowed, grid, final)
    return OnRows(rowed.kernel, rows, on_host(grid[-1]), final, trajectory, adjoint, noise, once)


class Adaptive(eqx.Module):
    """diffrax drives λ itself, each image at its own pace."""

    solver: diffrax.AbstractSolver
    controller: diffrax.AbstractStepSizeController
    ends: np.ndarray
    eta: np.ndarray
    final: str = eqx.field(static=True)
    sde: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    adjoint: diffrax.AbstractAdjoint = eqx.field(static=True)

    def __call__(self, denoise: Callable, key: Array, x: Array, memory: None = None) -> Solved:
        start, end = jnp.asarray(self.ends, x.dtype)
        brownian = None
        if self.sde:
            like = jax.ShapeDtypeStruct(x.shape, x.dtype)
            tolerance = 2.0**-14 * (end - start)
            brownian = diffrax.VirtualBrownianTree(
                start, end, tolerance, like, key, levy_area=diffrax.SpaceTimeLevyArea
            )
        solution = diffrax.diffeqsolve(
            terms(denoise, jnp.asarray(self.eta, x.dtype), brownian),
            self.solver,
            t0=start,
            t1=end,
            # A first step is given, since choosing one costs two calls.
            dt0=0.02 * (end - start),
            y0=x,
            saveat=diffrax.SaveAt(t1=True, controller_state=True),
            stepsize_controller=CountFirstStages(self.controller),
            adjoint=self.adjoint,
            max_steps=self.max_steps,
            throw=False,
        )
        assert solution.ys is not None
        assert solution.controller_state is not None
        step, once = cost(self.solver)
        calls = solution.stats["num_steps"] * step + solution.controller_state[-1] * once
        # A run that did not reach the end is not an image.
        x = jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[-1], jnp.nan)
        if self.final == "denoise":
            x, calls = denoise(x, end), calls + 1
        return Solved(x, calls, None)
