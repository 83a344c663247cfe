"""Errors of solvers on one problem: on every grid, on the grid that is best for each, adaptive, tuned, and of moments."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.solver_problems import Problem, flipped, rms
from benchmarks.solvers.methods import FIXED, FREE, METHODS, STOCHASTIC, lay
from jaxdiff.process import alpha
from jaxdiff.solvers import LinearMultistep, Tuned
from jaxdiff.tuning import Examples, fit

TOLERANCES = (1e-2, 1e-3, 1e-4)
ADAPTIVE_END = 4.5

Cell = dict[str, Any]
Progress = Callable[[Any], Any]


class Search(NamedTuple):
    """What a solver's own best grid is looked for in."""

    solvers: Sequence[str] = tuple(METHODS)
    fixed: Sequence[str] = tuple(FIXED)
    free: Sequence[str] = tuple(FREE)
    ends: Sequence[float] = tuple(np.arange(0.5, 4.51, 0.5))
    """λ of the last call, where that gives D."""
    stepped: Sequence[str] = ("uniform_lam", "uniform_time")
    """Grids after which a step is tried."""
    step_ends: Sequence[float] = tuple(np.arange(1.0, 3.01, 0.5))
    """λ of the last call, where a step follows."""
    lasts: Sequence[float] = (2.5, 3.0, 4.0, 6.0)
    """λ that this step leads to."""
    finer: float = 0.25
    """Distance of the two more ends tried about the best one; 0 for none."""


def solve(problem: Problem, solver: Any, grid: np.ndarray | None, **options: Any) -> Any:
    """`jd.sample` from the problem's start states."""
    return jd.sample(
        jax.random.key(0), problem.denoise, shape=problem.shape, num=problem.num, solver=solver, grid=grid,
        start=problem.start, batch=min(problem.batch, problem.num), **options,
    )  # fmt: skip


def score(problem: Problem, images: Any) -> Cell:
    """rms error, that of the better 99 % of the start noises, and the share that ended in another mode."""
    images = np.asarray(images, np.float64)
    square = np.mean((images - problem.exact).reshape(problem.num, -1) ** 2, 1)
    better = np.sort(square)[: int(np.ceil(0.99 * problem.num))]
    return {
        "rms": rms(images, problem.exact),
        "rms_99": float(np.sqrt(better.mean())),
        "flipped": flipped(images, problem),
    }


def cell(
    problem: Problem, name: str, kind: str, calls: int, end: float | None = None, last: float | None = None
) -> Cell | None:
    """A method on a grid of at most `calls` calls; None where that allows it fewer than two grid values.

    Without `last` the image is D at `end`; with it, one more step of the method leads to λ = `last`, without a call, and
    the image is the state there over α.
    """
    solver, values = METHODS[name]
    if values(calls) < 2:
        return None
    grid = lay(kind, problem.schedule, values(calls), end)
    if last is None:
        out = solve(problem, solver, grid)
        images = out.images
    else:
        out = solve(problem, solver, np.append(grid, last), final="state")
        images = np.asarray(out.images) / alpha(last)
    ending = {"end": float(grid[-1]), "last": last}
    return {"solver": name, "grid": kind, "calls": calls, "nfe": out.nfe, **ending, **score(problem, images)}


def on_all_grids(problem: Problem, calls: Sequence[int], progress: Progress) -> list[Cell]:
    """Every method on every grid with its default end."""
    cells = [(name, kind, n) for name in METHODS for kind in (*FREE, *FIXED) for n in calls]
    return [scored for what in progress(cells) if (scored := cell(problem, *what)) is not None]


def on_own_best(
    problem: Problem, choose: Problem, calls: Sequence[int], progress: Progress, search: Search
) -> tuple[list[Cell], list[Cell]]:
    """Each solver on the grid and end with the least rms on `choose`, scored on `problem`; and rms by end on `choose`.

    A multistep solver has two rows: one that ends with D and one that ends with a step.
    """
    best, by_end = [], []
    for name, n in progress([(name, n) for name in search.solvers for n in calls if METHODS[name].values(n) >= 2]):

        def tried(kind: str, end: float | None, last: float | None, name=name, n=n) -> list[Cell]:
            if end is not None and (end > choose.schedule.lam_max or (last is not None and last <= end)):
                return []
            result = cell(choose, name, kind=kind, calls=n, end=end, last=last)
            return [result] if result else []

        plain = [result for kind in search.fixed for result in tried(kind, None, None)]
        stepped = []
        for kind in search.free:
            cells = [result for end in search.ends for result in tried(kind, end, None)]
            cells += [result for end in _about(cells, search.finer) for result in tried(kind, end, None)]
            plain += cells
            if kind == "uniform_lam":
                shown = {f"{one['end']:.2f}": one["rms"] for one in sorted(cells, key=lambda one: one["end"])}
                by_end.append({"solver": name, "calls": n, "rms": shown})
            if kind in search.stepped and isinstance(METHODS[name].solver, LinearMultistep):
                for last in search.lasts:
                    cells = [result for end in search.step_ends for result in tried(kind, end, last)]
                    stepped += cells + [
                        result for end in _about(cells, search.finer) for result in tried(kind, end, last)
                    ]
        for chosen in (_least(cells) for cells in (plain, stepped) if cells):
            end = None if chosen["grid"] in FIXED else chosen["end"]
            scored = cell(problem, name, kind=chosen["grid"], calls=n, end=end, last=chosen["last"])
            assert scored is not None
            best.append(scored)
    return best, by_end


def _about(cells: Sequence[Cell], finer: float) -> Sequence[float]:
    best = _least(cells)["end"]
    return (best - finer, best + finer) if finer else ()


def _least(cells: Sequence[Cell]) -> Cell:
    return min(cells, key=lambda one: one["rms"] if np.isfinite(one["rms"]) else np.inf)


def adaptive(problem: Problem) -> list[Cell]:
    """diffrax's Tsit5 at several tolerances: `nfe` is the mean over images, `batch_nfe` what their batches took."""
    rows = []
    for tolerance in TOLERANCES:
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
        ends = np.array([problem.schedule.lam_min, ADAPTIVE_END])
        out = solve(problem, diffrax.Tsit5(), ends, controller=controller)
        nfe, batch_nfe = float(np.mean(out.nfe)), float(np.mean(out.batch_nfe))
        rows.append({"tolerance": tolerance, "nfe": nfe, "batch_nfe": batch_nfe, **score(problem, out.images)})
    return rows


def tuned(problem: Problem, teacher: Problem, start: np.ndarray, iterations: int, batch: int) -> Cell:
    """A sampler learned from `teacher`'s start noise and exact images, from DPMpp(3) on `start`; with its numbers."""
    ends = (problem.schedule.lam_min, problem.schedule.lam_max)
    examples = Examples(teacher.start, teacher.exact, None)
    solver = fit(problem.denoise, examples, start, ends=ends, order=3, iterations=iterations, batch=batch)
    return tuned_cell(problem, solver)


def tuned_cell(problem: Problem, solver: Tuned) -> Cell:
    """Of a learned sampler."""
    out = solve(problem, solver, None)
    ending = {"end": float(solver.grid[-1]), "last": None}
    scored = score(problem, out.images)
    return {
        "solver": "Tuned", "grid": "its own", "calls": solver.calls, "nfe": out.nfe, **ending, **scored,
        "sampler": solver.to_json(),
    }  # fmt: skip


def moments(problem: Problem, calls: Sequence[int]) -> list[Cell]:
    """Relative error (Frobenius) of the covariance of what stochastic methods draw, on the default λ-uniform grid.

    Beside it that of as many exact solutions, which is the statistical error of the measure.
    """
    covariance = problem.covariance
    assert covariance is not None

    def error(images) -> float:
        drawn_covariance = np.cov(np.asarray(images).reshape(problem.num, -1), rowvar=False)
        return float(np.linalg.norm(drawn_covariance - covariance) / np.linalg.norm(covariance))

    rows: list[Cell] = [{"solver": "exact solution", "calls": None, "covariance_error": error(problem.exact)}]
    for name, solver in STOCHASTIC.items():
        for n in calls:
            out = solve(problem, solver, lay("uniform_lam", problem.schedule, n))
            rows.append({"solver": name, "calls": n, "covariance_error": error(out.images)})
    return rows


def end_errors(problem: Problem, lams: Sequence[float]) -> dict[str, float]:
    """rms of D(x(λ), λ) with the exact x(λ), by λ with three digits: what ending there costs, whatever the solver.

    On one batch of start noises, by an adaptive eighth-order method.
    """
    times = np.array(sorted({round(lam, 3) for lam in lams}))
    start = jnp.asarray(problem.start[: problem.batch])
    denoise = jax.vmap(problem.denoise, (0, None))

    def drift(lam, x, args):
        alpha2 = jax.nn.sigmoid(2 * lam)
        return jnp.sqrt(alpha2) * denoise(x, lam) - alpha2 * x

    @jax.jit
    def reach(start, times):
        worst = lambda error: jnp.max(jnp.abs(error))  # noqa: E731
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(drift), diffrax.Dopri8(), t0=problem.schedule.lam_min, t1=times[-1], dt0=0.05, y0=start,
            saveat=diffrax.SaveAt(ts=times), max_steps=20_000,
            stepsize_controller=diffrax.PIDController(rtol=1e-7, atol=1e-7, norm=worst),
        )  # fmt: skip
        return jax.lax.map(lambda at: denoise(*at), (solution.ys, times))

    reached = np.asarray(reach(start, jnp.asarray(times)))
    return {f"{lam:.3f}": rms(images, problem.exact[: problem.batch]) for lam, images in zip(times, reached)}
