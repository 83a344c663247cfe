"""What is carried along the rows beside a solver's own: the memory of a guidance, and D of each step."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.remembering import Remembering
from jaxdiff.solvers.base import RowSolver, SolveArgs, recorded
from jaxdiff.solvers.stepped import Stepped


def check_memory(denoise: Denoiser, solver: Any, controller: Any) -> None:
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
    and the memory before the first call."""

    run: SolveArgs
    memory: PyTree


def still(k, y, args: Any):
    """In the place of `solvers.base.drift`, of which diffrax asks the shape, where it does not fit: D without a memory or a
    span has no value, and what is carried no derivative."""
    return y


class Threaded(RowSolver):
    """A solver that carries the denoiser's memory beside its own; `args` are a `Remembers`."""

    solver: RowSolver
    order: ClassVar[int] = 1

    def __check_init__(self):
        if isinstance(self.solver, Stepped):
            raise ValueError(_refusal(self, self.solver.solver))

    def init(self, terms, t0, t1, y0, args: Remembers):
        return self.solver.init(terms, t0, t1, y0, args.run), args.memory

    def step(self, terms, t0, t1, y0, args: Remembers, solver_state, made_jump):
        own, memory = solver_state
        left, k = [memory], jnp.round(t0).astype(jnp.int32)
        point: Any = args.run.denoise

        def denoise(x, lam, **span):
            x0, memory = point(x, lam, left[-1], k, **span)
            left.append(memory)
            return x0

        run = args.run._replace(denoise=denoise)
        y1, error, dense, own, result = self.solver.step(terms, t0, t1, y0, run, own, made_jump)
        return y1, error, dense, (own, left[-1]), result


class KeepsX0(RowSolver):
    """A solver whose state is (x, D): what the step that led to x has called first."""

    solver: RowSolver
    order: ClassVar[int] = 1

    def init(self, terms, t0, t1, y0, args: SolveArgs):
        return self.solver.init(terms, t0, t1, y0[0], args)

    def step(self, terms, t0, t1, y0, args: SolveArgs, solver_state, made_jump):
        denoise, called = recorded(args.denoise)
        run = args._replace(denoise=denoise)
        x, error, _, own, result = self.solver.step(terms, t0, t1, y0[0], run, solver_state, made_jump)
        y1 = x, called[0].astype(x.dtype)
        return y1, error, dict(y0=y0, y1=y1), own, result
