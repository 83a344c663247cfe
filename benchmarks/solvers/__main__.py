"""`python -m benchmarks.solvers [--run RUN] [--torch-python PYTHON]`: benchmarks/results/solvers.json and docs/solvers.md.

`--check` scores what the JSON holds afresh and ends with status 1 where an error is more than 1.1 times the stored one.
Without --run the trained net is left out, without --torch-python (an environment with torch and diffusers) diffusers is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from benchmarks.command import command
from benchmarks.solver_problems import PROBLEMS, Problem
from benchmarks.solvers import check, network, peer, picture, report, scores
from benchmarks.solvers.methods import lay
from benchmarks.store import RESULTS, Store

CHOOSE = {"images": 128}
TEACH = {"images": 256}


@dataclass(frozen=True)
class Options:
    """Solvers and grids on exact problems, on a trained net, and beside diffusers' schedulers."""

    problems: tuple[str, ...] = tuple(PROBLEMS)
    """Of benchmarks.solver_problems."""
    calls: tuple[int, ...] = (5, 6, 8, 10, 20)
    """Network calls."""
    tune: tuple[int, ...] = (5, 6, 8, 10)
    """Calls for which a sampler is learned."""
    iterations: int = 40
    """At most, of each learned sampler."""
    run: Path | None = None
    """A run folder with a trained net."""
    torch_python: Path | None = None
    """A Python with torch and diffusers."""
    check: bool = False
    """Compare fresh errors with the stored ones, and write nothing."""
    results: Path = RESULTS / "solvers.json"
    """Written, or with --check read."""
    docs: Path = field(default=Path("docs"))
    """Folder of solvers.md and images/."""


def main(options: Options) -> int:
    """Exit status."""
    if options.check:
        return check.check(store(options).read(), options.problems, bar("checking"))
    result = {"format": 1, "calls": list(options.calls), "problems": {}} | store(options).read()
    for name in options.problems:
        with jax.enable_x64(True):
            measured = exact(name, options)
        result |= {"diffusers": measured.pop("versions")} if "versions" in measured else {}
        result["problems"][name] = measured
        write(result, options)
    if options.run is not None:
        result["network"] = timed(lambda run=options.run: network.measure(run, bar("network")))
        write(result, options)
    if not options.problems and options.run is None:
        write(result, options)  # the page and the figure from what is known
    return 0


def store(options: Options) -> Store:
    """The results, a cell a line."""
    return Store(options.results.stem, folder=options.results.parent, dumps=report.dumps)


def write(result: dict[str, Any], options: Options) -> None:
    """The JSON, the page and the figure, after each part: what is not measured again stays as it was."""
    result["problems"] = {name: result["problems"][name] for name in PROBLEMS if name in result["problems"]}
    store(options).write(result)
    stored = store(options).read()
    (options.docs / "images").mkdir(parents=True, exist_ok=True)
    (options.docs / "solvers.md").write_text(report.markdown(stored), encoding="utf-8")
    picture.draw(stored, options.docs / "images" / "solvers.png")


def timed(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measure` returns, with the machine and the seconds that it took, on the clock and of the processor."""
    machine, began = Store("solvers").machine(), (time.perf_counter(), time.process_time())
    measured = measure()
    seconds = {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}
    return {"machine": machine} | seconds | measured


def exact(name: str, options: Options) -> dict[str, Any]:
    """What the JSON holds of one exact problem, and, where diffusers was asked for, the other side's `versions`."""
    problem = PROBLEMS[name](seed=0)
    measured = timed(lambda: ours(name, problem, options))
    if options.torch_python is not None:
        python = str(options.torch_python)
        versions, cells = peer.measure(problem, options.calls, python, bar(f"{name}: diffusers"))
        measured |= {"diffusers": cells, "versions": versions}
    return measured


def ours(name: str, problem: Problem, options: Options) -> dict[str, Any]:
    """Of our solvers."""
    make = PROBLEMS[name]
    choose = make(CHOOSE.get(name, 512), seed=1)
    cells = scores.on_all_grids(problem, options.calls, bar(f"{name}: grids"))
    best, by_end = scores.on_own_best(problem, choose, options.calls, bar(f"{name}: own best"), scores.Search())
    teacher = make(TEACH.get(name, 2048), seed=2)
    for calls in bar(f"{name}: tuning")(options.tune):
        start = next(one for one in best if (one["solver"], one["calls"], one["last"]) == ("DPMpp(3)", calls, None))
        grid = lay(start["grid"], problem.schedule, calls, start["end"])
        best.append(scores.tuned(problem, teacher, grid, options.iterations, 16 if name == "images" else 512))
    ends = [one["end"] for one in (*cells, *best)] + list(np.arange(0.5, 4.51, 0.5))
    return {
        "start_noises": problem.num,
        "chosen_on": choose.num,
        "tuned_on": teacher.num,
        "std": problem.std,
        "cells": cells,
        "best": best,
        "by_end": by_end,
        "adaptive": scores.adaptive(problem),
        "moments": scores.moments(problem, options.calls) if name in ("gaussian", "mixture") else [],
        "end_errors": scores.end_errors(problem, ends),
    }


def bar(what: str):
    """A progress bar around a list."""
    return lambda items: tqdm(items, desc=what, mininterval=1.0, leave=False)


if __name__ == "__main__":
    command(main, __doc__)
