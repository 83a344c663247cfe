"""What other solvers reach with the same calls, each on its own best grid."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.denoiser import Denoiser
from jaxdiff.process import grids
from jaxdiff.process.schedules import Schedule
from jaxdiff.sampling import sample
from jaxdiff.solvers import DDIM, DEIS, IPNDM, DPMpp, SASolver, Solver, Tuned, UniPC
from jaxdiff.tuning.teacher import Examples

SOLVERS: dict[str, Solver] = {
    "DDIM": DDIM(),
    "DPMpp(2)": DPMpp(2),
    "DPMpp(3)": DPMpp(3),
    "UniPC(2)": UniPC(2),
    "UniPC(3)": UniPC(3),
    "DEIS(2)": DEIS(2),
    "DEIS(3)": DEIS(3),
    "IPNDM(2)": IPNDM(2),
    "IPNDM(4)": IPNDM(4),
    "SASolver(3, eta=0)": SASolver(3, eta=0.0),  # type: ignore[arg-type]
}
GRIDS: dict[str, Callable] = {
    "uniform_lam": grids.uniform_lam,
    "uniform_time": grids.uniform_time,
    "karras": lambda schedule, n, lam_max: grids.karras(schedule, n, lam_max=lam_max),
}
ENDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


class GridScore(NamedTuple):
    """rms of a solver on its best grid."""

    solver: str
    grid: str
    end: float
    """λ of the last call."""
    rms: float
    """On examples that chose nothing."""
    lams: np.ndarray


def score(name: str, denoise: Denoiser, solver: Tuned, unseen: Examples) -> GridScore:
    """The rms error of a sampler with its own grid.

    Args:
        name: that the score carries.
        denoise: D(x, λ, cond) of one image.
        solver: tuned.
        unseen: examples that it was not fitted to.

    Returns:
        The score.
    """
    return GridScore(name, "its own", float(solver.grid[-1]), _rms(denoise, solver, solver.grid, unseen), solver.grid)


def compare(
    denoise: Denoiser,
    schedule: Schedule,
    calls: int,
    choose: Examples,
    unseen: Examples,
    *,
    screen: int = 16,
    progress: Callable[[Sequence[Any]], Any] = lambda items: items,
) -> list[GridScore]:
    """Solvers of `calls` calls by their rms error, best first.

    Every solver is tried on every grid and end with the first `screen` examples of `choose`, its best three again with
    the first `4 * screen`, and the best of these is scored.

    Args:
        denoise: D(x, λ, cond) of one image.
        schedule: whose grids are tried.
        calls: network calls of each solver.
        choose: examples that grids are chosen by.
        unseen: examples that the scores are of.
        screen: examples of the first round.
        progress: wraps the list of what is tried.

    Returns:
        A score for each solver.
    """
    tried: dict[str, list[tuple[float, str, float, np.ndarray]]] = {name: [] for name in SOLVERS}
    few, more = choose.part(0, screen), choose.part(0, 4 * screen)
    for name, kind, end in progress([(s, g, e) for s in SOLVERS for g in GRIDS for e in ENDS if e < schedule.lam_max]):
        lams = GRIDS[kind](schedule, calls, lam_max=end)
        tried[name].append((_rms(denoise, SOLVERS[name], lams, few), kind, end, lams))
    scores = []
    for name, solver in SOLVERS.items():
        best = sorted(tried[name], key=lambda one: one[0])[:3]
        again = [(_rms(denoise, solver, lams, more), kind, end, lams) for _, kind, end, lams in best]
        _, kind, end, lams = min(again, key=lambda one: one[0])
        scores.append(GridScore(name, kind, end, _rms(denoise, solver, lams, unseen), lams))
    return ranked(scores)


def ranked(scores: Sequence[GridScore], *more: GridScore) -> list[GridScore]:
    """Best first."""
    return sorted([*scores, *more], key=lambda score: score.rms)


def table(scores: Sequence[GridScore]) -> str:
    """To be read."""
    lines = [f"{'sampler':20} {'grid':14} {'ends at λ':>9}  rms on unseen start noise"]
    return "\n".join([*lines, *(f"{s.solver:20} {s.grid:14} {s.end:9.2f}  {s.rms:.4f}" for s in scores)])


def _rms(denoise: Denoiser, solver: Solver, grid: np.ndarray, examples: Examples) -> float:
    num = len(examples.start)
    out = sample(
        jax.random.key(0), denoise, shape=examples.start.shape[1:], num=num, solver=solver, grid=grid,
        cond=examples.cond, start=examples.start, batch=min(16, num),
    )  # fmt: skip
    error = examples.rms(out.images)
    return error if np.isfinite(error) else np.inf
