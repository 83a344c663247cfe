"""diffusers' schedulers on the same exact problems from the same start noise, and where they take the same steps."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxdiff as jd
from benchmarks.peers.protocol import Peer
from benchmarks.solver_problems import Mixture, Problem
from benchmarks.solvers import twins
from benchmarks.solvers.scores import Cell, Progress, score, solve
from benchmarks.solvers.twins import Twin

AGREE = 1e-4
STATES = 512  # start noises whose whole trajectory is compared

DPM, UNIPC = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"
GRIDS: dict[str, dict[str, Any]] = {
    "trailing": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
    "leading": {"timestep_spacing": "leading"},
    "karras": {"use_karras_sigmas": True},
    "lu": {"use_lu_lambdas": True},
}
TO_SIGMA_MIN = {"final_sigmas_type": "sigma_min"}  # UniPC's bh1 is NaN with "zero", where h is infinite
ALL, KARRAS = ("trailing", "linspace", "leading", "karras", "lu"), ("trailing", "linspace", "leading", "karras")


class Scheduler(NamedTuple):
    """A scheduler of diffusers, its settings and the grids it offers; `twin(steps, returns_state)` is ours."""

    name: str
    settings: dict[str, Any]
    grids: Sequence[str]
    twin: Callable[[int, bool], Twin] | None = None
    doubled: bool = False
    """Whether each step but the last takes two calls."""


def _same(solver: Any) -> Callable[[int, bool], Twin]:
    return lambda steps, returns_state: Twin(solver)


SCHEDULERS: dict[str, Scheduler] = {
    "DDIM": Scheduler("DDIMScheduler", {"clip_sample": False}, KARRAS[:3], _same(jd.DDIM())),
    "Euler": Scheduler("EulerDiscreteScheduler", {}, KARRAS, _same(jd.DDIM())),
    "Heun": Scheduler("HeunDiscreteScheduler", {}, KARRAS, _same(jd.EDMHeun()), doubled=True),
    "DPM++2M": Scheduler(DPM, {}, ALL, lambda n, state: twins.dpmpp(2, n, state)),
    "DPM++2M, sigma_min": Scheduler(DPM, TO_SIGMA_MIN, ("trailing",), lambda n, state: twins.dpmpp(2, n, state)),
    "DPM++3M": Scheduler(DPM, {"solver_order": 3}, ALL, lambda n, state: twins.dpmpp(3, n, state)),
    "UniPC 2, bh1": Scheduler(
        UNIPC, {"solver_type": "bh1"} | TO_SIGMA_MIN, KARRAS, lambda n, state: twins.unipc(2, "bh1", state)
    ),
    "UniPC 2, bh2": Scheduler(UNIPC, {}, KARRAS, lambda n, state: twins.unipc(2, "bh2", state)),
    "UniPC 3, bh1": Scheduler(
        UNIPC,
        {"solver_order": 3, "solver_type": "bh1"} | TO_SIGMA_MIN,
        ("trailing",),
        lambda n, state: twins.unipc(3, "bh1", state),
    ),
    "UniPC 3, bh2": Scheduler(UNIPC, {"solver_order": 3}, KARRAS, lambda n, state: twins.unipc(3, "bh2", state)),
    "DEIS 2": Scheduler("DEISMultistepScheduler", {}, KARRAS, lambda n, state: twins.deis(2, n)),
    "DEIS 3": Scheduler("DEISMultistepScheduler", {"solver_order": 3}, KARRAS, lambda n, state: twins.deis(3, n)),
    "PNDM (PLMS)": Scheduler("PNDMScheduler", {"skip_prk_steps": True}, KARRAS[:3]),
}
"""IPNDMScheduler is left out: it steps a process of its own, sin² in time from λ = −∞, whatever the betas."""


def write(problem: Problem, folder: Path) -> None:
    """The problem as NAME.npy for the other side."""
    assert isinstance(problem.schedule, jd.DiscreteBetas)
    arrays = {"start": problem.start, "betas": np.asarray(problem.schedule.betas)}
    if isinstance(problem.denoise, Mixture):
        arrays |= {"means": np.asarray(problem.denoise.means), "std": np.asarray(problem.denoise.std)}
    else:
        assert problem.covariance is not None
        variances, basis = np.linalg.eigh(problem.covariance)
        arrays |= {"basis": basis, "stds": np.sqrt(variances)}
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def measure(
    problem: Problem, calls: Sequence[int], python: str, progress: Progress
) -> tuple[dict[str, Any], list[Cell]]:
    """(versions of the other side, a cell for each scheduler, grid and number of calls).

    On `mixture` the states are compared with those of the scheduler's twin.
    """
    cells = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Peer(python, "benchmarks.peers.schedulers", OMP_NUM_THREADS="1") as peer,
    ):
        versions = peer("describe", threads=1)
        write(problem, Path(folder) / "problem")
        peer("problem", folder=str(Path(folder) / "problem"))
        schedulers = [(name, grid) for name in SCHEDULERS for grid in SCHEDULERS[name].grids]
        for (name, grid), n in progress(list(itertools.product(schedulers, calls))):
            scheduler = SCHEDULERS[name]
            steps = (n + 1) // 2 if scheduler.doubled else n - 1 if name.startswith("PNDM") else n
            settings = scheduler.settings | GRIDS[grid]
            answer = peer("run", scheduler=scheduler.name, settings=settings, calls=steps, to=folder, states=STATES)
            row = {"scheduler": name, "grid": grid, "calls": n, "nfe": answer["calls"], "end": answer["lams"][-1]}
            scored = score(problem, np.load(Path(folder) / "final.npy"))
            row |= {what: value if np.isfinite(value) else None for what, value in scored.items()}
            if problem.name == "mixture" and scheduler.twin is not None:
                row |= _agreement(problem, scheduler, answer, np.load(Path(folder) / "states.npy"))
            cells.append(row)
    return versions, cells


def _agreement(problem: Problem, scheduler: Scheduler, answer: dict[str, Any], states: np.ndarray) -> Cell:
    """Largest difference between a scheduler's states and those of our kernel with its method on its λ."""
    assert scheduler.twin is not None
    lams = np.asarray(answer["lams"])
    lams = lams[np.append(True, np.diff(lams) != 0)]  # Heun's list has the arrival of each step twice
    returns_state = answer["ends_at"] is not None
    grid = np.append(lams, answer["ends_at"]) if returns_state else lams
    if np.any(np.diff(grid) <= 0):
        return {"agreement": None, "agreement_all": None, "same": False, "why": "its last step has no length"}
    twin = scheduler.twin(len(lams), returns_state)
    few = replace(problem, start=answer["start_scale"] * problem.start[:STATES], exact=problem.exact[:STATES])
    out = solve(few, twin.solver, grid, final="state" if returns_state else "denoise", trajectory=1)
    apart = np.max(np.abs(np.asarray(out.trajectory).reshape(states.shape) - states), axis=(1, 2))
    most, worst = float(np.quantile(apart, 0.99)), float(apart.max())
    return {
        "agreement": most,
        "agreement_all": worst,
        "same": most <= AGREE,
        "why": twin.why if most <= AGREE else _why(scheduler, answer),
    }


def _why(scheduler: Scheduler, answer: dict[str, Any]) -> str:
    if np.max(np.abs(np.asarray(answer["labels"]) - np.asarray(answer["lams"]))) > 1e-3:
        return "the network is told its steps' times rounded to trained ones"
    if scheduler.name == "DDIMScheduler":
        return "steps go to t − 1000 // n, which is not the next of its times"
    return "float32, in which it computes its states and weights"
