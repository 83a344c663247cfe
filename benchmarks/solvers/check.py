"""Fresh errors against the stored ones."""

from collections.abc import Sequence
from typing import Any

import jax

from benchmarks.solver_problems import PROBLEMS, Problem
from benchmarks.solvers.methods import FIXED
from benchmarks.solvers.scores import Cell, Progress, adaptive, cell, tuned_cell
from jaxdiff.solvers import Tuned

FACTOR = 1.1


def check(stored: dict[str, Any], problems: Sequence[str], progress: Progress) -> int:
    """1 where an error is above `FACTOR` times the stored one, or a cell is gone; prints those; else 0."""
    worse, count = [], 0
    with jax.enable_x64(True):
        for name in problems:
            entry = stored["problems"][name]
            problem = PROBLEMS[name](seed=0)
            pairs = [(one, fresh(problem, one, default)) for one, default in progress(_all(entry))]
            pairs += list(zip(entry["adaptive"], adaptive(problem), strict=True))
            count += len(pairs)
            worse += [f"{name}: {was} now {now and now['rms']}" for was, now in pairs if failed(was, now)]
    print("\n".join([*worse, f"{len(worse)} of {count} errors above {FACTOR} times the stored ones"]))
    return int(bool(worse))


def fresh(problem: Problem, was: Cell, default_end: bool) -> Cell | None:
    """The cell measured again; its grid ends by default where `default_end` is set."""
    if was["solver"] == "Tuned":
        return tuned_cell(problem, Tuned.from_json(was["sampler"]))
    end = None if default_end or was["grid"] in FIXED else was["end"]
    return cell(problem, was["solver"], kind=was["grid"], calls=was["calls"], end=end, last=was["last"])


def failed(was: Cell, now: Cell | None) -> bool:
    """Whether the error rose too far; NaN counts as risen."""
    return now is None or not now["rms"] <= FACTOR * was["rms"]


def _all(entry: dict[str, Any]) -> list[tuple[Cell, bool]]:
    return [(one, True) for one in entry["cells"]] + [(one, False) for one in entry["best"]]
