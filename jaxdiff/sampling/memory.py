"""The memory of a guidance along the rows of a solver."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.remembering import Remembering
from jaxdiff.solvers.base import RowSolver, Run
from jaxdiff.solvers.stepped import Stepped


def check(denoise: Denoiser, solver: Any, controller: Any) -> None:
    """Raises ValueError for a guidance with a memory that this solver cannot carry on."""
    if isinstance(denoise, Remembering) and (controller is not None or not isinstance(solver, RowSolver)):
        raise ValueError(_refusal(denoise, solver))


def _refusal(denoise: Any, solver: Any) -> str:
    return (
        f"got {type(denoise).__name__}, which remembers its calls, with {type(solver).__name__} of diffrax; expected a "
        "jd.Solver along a grid, which calls D once a row and takes no step twice; to fix: jd.DPMpp(2), without controller"
    )


class Remembers(NamedTuple):
    """What diffrax hands to the solver as `args`: the run, whose `denoise(x, lam, memory, step)` returns the memory as well,
    and the memory before the first call, from x."""

    run: Run
    memory: Callable[[Array], PyTree]


def still(k, x, args: Remembers):
    """In the place of `solvers.base.drift`, of which diffrax asks the shape: D without a memory has no value."""
    return x


class Threaded(RowSolver):
    """A solver that carries the denoiser's memory beside its own; `args` are a `Remembers`."""

    solver: RowSolver
    order: ClassVar[int] = 1

    def __check_init__(self):
        if isinstance(self.solver, Stepped):
            raise ValueError(_refusal(self, self.solver.solver))

    def init(self, terms, t0, t1, y0, args: Remembers):
        return self.solver.init(terms, t0, t1, y0, args.run), args.memory(y0)

    def step(self, terms, t0, t1, y0, args: Remembers, solver_state, made_jump):
        own, memory = solver_state
        left, k = [memory], jnp.round(t0).astype(jnp.int32)
        point: Any = args.run.denoise

        def denoise(x, lam):
            x0, memory = point(x, lam, left[-1], k)
            left.append(memory)
            return x0

        run = args.run._replace(denoise=denoise)
        y1, error, dense, own, result = self.solver.step(terms, t0, t1, y0, run, own, made_jump)
        return y1, error, dense, (own, left[-1]), result
