"""All mutants of a solver, and which property of `jd.check_solver` each fails first."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.mutations.tables import (
    COLUMNS,
    HISTORY,
    POINTS,
    Mutant,
    of_column,
    of_corrector,
    of_history,
    of_points,
    remembered,
    right,
)
from benchmarks.mutations.updates import SPOILED, SPOILED_CORRECTOR, Spoiled, SpoiledCorrector
from jaxdiff.analytic import GaussianMixture
from jaxdiff.conformance.accuracy import limit, order
from jaxdiff.conformance.ends import ends
from jaxdiff.conformance.march import march
from jaxdiff.conformance.moments import frozen
from jaxdiff.conformance.problems import UNIT
from jaxdiff.conformance.shapes import shapes
from jaxdiff.conformance.steps import consistent, long
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import Point, Solver
from jaxdiff.solvers.multistep import LinearMultistep
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

GRIDS = (np.linspace(-1.5, 0.5, 9), np.array([-2.0, -1.7, -0.8, -0.7, 0.1, 0.4, 1.3]))
WHOLE = np.linspace(-9.0, 5.0, 15)
COLOURS = np.random.default_rng(4).normal(0.0, 10.0, size=(1, 2, 2, 3))


def mutants(solver: Solver, spoiled: tuple[str, ...] = SPOILED) -> Iterator[tuple[str, Mutant]]:
    """Every mutant of a solver, by what was done to it; those that are the solver itself among them."""
    weights = solver.weights(Point.of(GRIDS[0][:-1]), Point.of(GRIDS[0][1:]))
    for name, values in weights._asdict().items():
        for column in [None] if np.ndim(values) == 1 else range(values.shape[1]):
            for what, change in COLUMNS.items():
                where = name if column is None else f"{name}[{column}]"
                yield f"{where} {what}", Mutant(solver, of_column(name, column, change))
    for what, change in POINTS.items():
        yield what, Mutant(solver, of_points(change))
    if isinstance(solver, LinearMultistep):
        for what, change in HISTORY.items():
            yield what, Mutant(solver, of_history(change))
        for by in (1.01, 0.99, 0.0):
            yield f"corrector x {by}", Mutant(solver, of_corrector(by))
        for what in spoiled:
            yield what, Mutant(solver, right, Spoiled(solver.depth, how=what))
    if isinstance(solver, PredictorCorrector):
        for what in SPOILED_CORRECTOR:
            kernel = solver.kernel
            yield what, Mutant(solver, right, SpoiledCorrector(kernel.corrections, kernel.snr, kernel.eta, how=what))


def states(solver: Solver) -> list[np.ndarray]:
    """Where the solver leads on two grids, and what it returns of wide colour images on all of the clock, bitwise."""
    colours = GaussianMixture(COLOURS, np.ones(1))
    with jax.enable_x64(True):
        reached = [march(solver, UNIT.denoise, grid, UNIT.states(grid[0], 4)) for grid in GRIDS]
        return [np.asarray(x) for x in (*reached, march(solver, colours, WHOLE, COLOURS, "denoise"))]


def is_other_setting(mutant: Mutant, reached: list[np.ndarray]) -> bool:
    """Whether it is the solver with another of its numbers: the corrector's step of `PredictorCorrector`."""
    if not isinstance(mutant.solver, PredictorCorrector):
        return False
    others = [dataclasses.replace(mutant.solver, snr=by * float(mutant.solver.snr)) for by in (1.01, 0.99, 0.0)]
    return any(all(map(np.array_equal, reached, states(other))) for other in others)


def failed_by(mutant: Mutant) -> str | None:
    """The first property that it fails; None: it survives."""
    subject = Subject(mutant, 0.0)
    for measure in (frozen, limit, order, ends, consistent, long, shapes):
        try:
            if measure(subject).result == "failed":
                return measure.__name__
        except Exception as error:  # what `check_solver` counts as failed too
            return f"{measure.__name__} ({type(error).__name__})"
    return None


def trial(solver: Solver, spoiled: tuple[str, ...] = SPOILED, every: int = 1) -> dict[str, Any]:
    """How many mutants there are, which property each fails first, and the names of those that survive.

    every: only each so-many-th mutant.
    """
    own, result = states(solver), {"mutants": 0, "same": 0, "other_setting": 0, "survivors": []}
    by: Counter[str] = Counter()
    for what, mutant in list(mutants(solver, spoiled))[::every]:
        with np.errstate(all="ignore"):
            reached = states(mutant)
            if all(map(np.array_equal, reached, own)):
                result["same"] += 1
                continue
            if is_other_setting(mutant, reached):
                result["other_setting"] += 1
                continue
            result["mutants"] += 1
            if (name := failed_by(mutant)) is None:
                result["survivors"].append(what)
            else:
                by[name] += 1
    remembered.clear()
    return {**result, "failed_first": dict(by)}


def share(results: dict[str, dict[str, Any]]) -> str:
    """The surviving share, in words."""
    number = sum(result["mutants"] for result in results.values())
    survivors = sum(len(result["survivors"]) for result in results.values())
    return f"{survivors} of {number} mutants survive ({survivors / max(number, 1):.2%})"
