"""A trained net as a problem: its exact solution is its own at many calls, and a call costs something."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxdiff as jd
from benchmarks.clock import seconds, turns
from benchmarks.solver_problems import Problem
from benchmarks.solvers.methods import METHODS
from benchmarks.solvers.scores import Cell, Progress, Search, on_own_best, solve, tuned_cell
from jaxdiff.tuning import stored

BATCH = 8
REFERENCE_CALLS, REFERENCE_END = 200, 5.0
CALLS = (5, 8, 20)
SEARCH = Search(
    solvers=("DDIM", "DPMpp(2)", "DPMpp(3)", "UniPC(2, bh2)", "UniPC(3)", "DEIS(3)", "IPNDM(3)", "IPNDM(4)", "EDMHeun"),
    fixed=(),
    free=("uniform_lam",),
    ends=(0.5, 1.0, 1.5, 2.5, 3.5),
    step_ends=(1.5, 2.5),
    lasts=(4.0,),
    finer=0.0,
)


def measure(run: Path, progress: Progress, num: int = 16) -> dict[str, Any]:
    """Each solver on its own best grid (chosen on half as many other start noises), and wall time; float32."""
    model = jd.load(run)
    choose, problem = (_problem(model, n, seed) for n, seed in ((num // 2, 1), (num, 0)))
    best, _ = on_own_best(problem, choose, CALLS, progress, SEARCH)
    for calls in CALLS:
        if (run / "tuned" / f"{calls}.json").is_file():
            best.append(tuned_cell(problem, stored.load_tuned(run, calls).solver))
    return {
        "run": run.name,
        "shape": list(model.shape),
        "start_noises": num,
        "reference": f"UniPC(3), {REFERENCE_CALLS} calls uniform in λ to {REFERENCE_END}",
        "std": float(problem.exact.std()),
        "best": best,
        "wall": [
            wall(problem, name) for name in ("DDIM", "DPMpp(3)", "UniPC(3)", "IPNDM(3)", "EDMHeun", "diffrax.Heun")
        ],
    }


def wall(problem: Problem, name: str, calls: int = 9, repeats: int = 5) -> Cell:
    """Milliseconds of an image and a call: the fastest of whole runs after the one that compiles, beside bare calls."""
    solver, values = METHODS[name]
    grid = jd.grids.uniform_lam(problem.schedule, values(calls))
    few = Problem(
        problem.name, problem.denoise, problem.start[:BATCH], problem.exact[:BATCH], problem.schedule, batch=BATCH
    )
    network = jax.jit(jax.vmap(problem.denoise, (0, None)))
    x = jax.numpy.asarray(few.start)

    def bare():
        for lam in grid[:1].repeat(nfe):
            network(x, np.float32(lam)).block_until_ready()

    nfe = int(solve(few, solver, grid).nfe)
    bare()
    sides = {"run": lambda: seconds(lambda: solve(few, solver, grid).images), "bare": lambda: seconds(bare)}
    times = turns(sides, repeats)
    run_alone, calls_alone = (1e3 * min(times[what]) / nfe / BATCH for what in ("run", "bare"))
    return {"solver": name, "nfe": nfe, "ms_per_image_and_call": run_alone, "ms_of_bare_call": calls_alone}


def _problem(model: Any, num: int, seed: int) -> Problem:
    start = np.random.default_rng(seed).normal(size=(num, *model.shape)).astype(np.float32)
    grid = jd.grids.uniform_lam(model.schedule, REFERENCE_CALLS, lam_max=min(REFERENCE_END, model.schedule.lam_max))
    problem = Problem("network", model.denoise, start, start, model.schedule, batch=BATCH)
    exact = np.asarray(solve(problem, jd.UniPC(3), grid).images, np.float64)
    return Problem("network", model.denoise, start, exact, model.schedule, batch=BATCH)
