"""Steps by themselves: that each is consistent, and that long ones do what short ones foretell.

What tends to the right limit as all steps grow shorter may leave out one of them (an error of order 1), or do something else
where a step is long. On a fixed number of steps of length h the error of a consistent method falls as h²; with one step that
is not, as h. And each result is an analytic function of h: what is clamped, rounded or switched at some length is not, and
its Chebyshev coefficients over lengths up to `LONGEST` fall slowly, as 1/n², in place of geometrically (Trefethen 2013,
"Approximation theory and approximation practice", chapters 7 and 8).
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
from numpy.polynomial import chebyshev

from jaxdiff.conformance.expansion import LENGTHS, Expansion, expansion
from jaxdiff.conformance.march import march, silent
from jaxdiff.conformance.problems import COLOURED, UNIT, uniform
from jaxdiff.conformance.recursion import recursion
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import tabulate

START = -1.2
STEPS = 48
SHORT = 0.02 * LENGTHS[0] / LENGTHS
"""Lengths of `STEPS` steps."""
FAR = -2.5
LONGEST, NODES, LAST = 2.0, 32, 8
"""Two steps of up to `LONGEST` from `FAR`; of the Chebyshev coefficients, the `LAST` are looked at."""
SMOOTH = 3e-6
FASTER, FLOOR = 1.5, 1e-6
BENT = uniform(UNIT, 1.0, 0.7)


@functools.cache
def _flow() -> tuple[np.ndarray, np.ndarray]:
    x = UNIT.states(START, 4)
    return x, UNIT.flow(x, START, START + STEPS * SHORT)


@functools.lru_cache(maxsize=1)
def _reached(subject: Subject) -> tuple[Callable, str] | None:
    """What leads from a start along grids to the values of images, or to mean and covariance; None where neither does.

    The function takes grids and whether they are short, and returns values (grids, …) and, of short ones, those wanted.
    """
    solver = subject.rowed

    def states(grids, short: bool):
        problem, (x, exact) = (UNIT, _flow()) if short else (BENT, (BENT.states(FAR, 4), None))
        return np.stack([np.asarray(march(solver, problem.denoise, grid, x, noise=silent)) for grid in grids]), exact

    def spread(grids, short: bool):
        reached = recursion(solver, COLOURED, grids, COLOURED.marginal(grids[0][0]))  # type: ignore[arg-type]
        flat = lambda pairs: np.stack([np.concatenate([mean, cov.reshape(-1)]) for mean, cov in pairs])  # noqa: E731
        return flat(reached), flat([COLOURED.marginal(grid[-1]) for grid in grids]) if short else None

    if not subject.noisy:
        return states, ""
    if not subject.own:
        return None
    try:
        with jax.enable_x64(True):
            spread([np.array([FAR, FAR + 0.1])], False)
    except (TypeError, ValueError):
        return None
    return spread, ", of mean and covariance"


def consistent(subject: Subject) -> Row:
    """Every step's error falls faster than its length."""
    expected = f"no error of order h in {STEPS} steps of length h"
    if (reached := _reached(subject)) is None:
        return Row("consistent", "not checked", "its noise enters in no known way: see limit", expected)
    grids = [START + h * np.arange(STEPS + 1) for h in SHORT]
    with jax.enable_x64(True):
        table = tabulate(subject.rowed, grids[-1], "state")
        if np.abs(table.to.lam - table.at.lam).max() > 1.5 * SHORT[-1]:
            return Row("consistent", "not checked", "steps longer than those of the grid", expected)
        got, exact = reached[0](grids, True)
    errors = (got - exact).reshape(len(grids), -1)
    series = expansion(errors)
    return Row.judged(
        "consistent",
        _vanish(series) if series.resolved else _falls(errors),
        f"{series.terms[0]:.1e}, {series.terms[1]:.1e} of order 0, 1{reached[1]}",
        expected,
        "some step does not follow (★) to first order in its length, which the limit of many steps does not show: a first, "
        "a last or an n-th step that is left out or has other weights, or noise that one of them lacks",
    )


def _vanish(series: Expansion) -> bool:
    return series.vanishes(0) and series.vanishes(1)


def _falls(errors: np.ndarray) -> bool:
    """Whether errors that are no power series, of coefficients in single precision, fall faster than the step."""
    rms = np.sqrt(np.mean(errors**2, axis=1))
    return bool(np.polyfit(np.log(SHORT), np.log(np.maximum(rms, FLOOR)), 1)[0] >= FASTER or np.all(rms <= FLOOR))


def long(subject: Subject) -> Row:
    """What a step does is a smooth function of its length, up to long ones."""
    expected = f"smooth in the step up to {LONGEST:g}, ≤ {SMOOTH:.0e}"
    if (reached := _reached(subject)) is None:
        return Row("long", "not checked", "its noise enters in no known way: see limit", expected)
    nodes = chebyshev.chebpts1(NODES)
    with jax.enable_x64(True):
        grids = [FAR + h * np.arange(3) for h in 0.5 * LONGEST * (1.01 + 0.99 * nodes)]
        values = reached[0](grids, False)[0].reshape(NODES, -1)
    coefficients = np.abs(np.linalg.solve(chebyshev.chebvander(nodes, NODES - 1), values)).max(axis=1)
    tail = float(coefficients[-LAST:].max() / coefficients.max())
    return Row.judged(
        "long",
        tail <= SMOOTH,
        f"last coefficients {tail:.1e}{reached[1]}",
        expected,
        "something in the update changes with the length of a step at once: a step clipped to a largest or smallest one, "
        "λ rounded to a table, a formula switched at some length",
    )
