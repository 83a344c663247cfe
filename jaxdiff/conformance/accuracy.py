"""Order and limit: the error of the probability flow against its exact solution, as the steps grow shorter."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from jaxdiff.conformance import moments
from jaxdiff.conformance.march import march
from jaxdiff.conformance.problems import IMAGE, MIXTURE
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import tabulate

PROBLEMS = {"gaussian": IMAGE, "mixture": MIXTURE}
HIGH = 1.0
CALLS = (16, 32, 64, 128, 256, 512, 1024)
FITTED = 4
"""The order is the slope over this many of the finest grids whose error is above rounding."""
FLOOR = 1e-12
SLACK = 0.15
CLOSE = 1e-3


def low(order: float) -> float:
    """λ where the grids start.

    A method of order 3 or more that takes its first steps with a lower order shows its own order only where those
    steps do not matter: far in the noise, where D is nearly constant.
    """
    return -2.0 if order < 3 else -5.0


@functools.cache
def flow(problem: str, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Four states at λ = `start`, and where the exact flow brings them at λ = `HIGH`."""
    x = np.random.default_rng(1).normal(size=(4, *PROBLEMS[problem].shape))
    return x, PROBLEMS[problem].flow(x, start, np.array([HIGH]))[0]


class Errors(NamedTuple):
    """Root-mean-square distances from the exact flow, in float64."""

    at: np.ndarray
    """On grids of `CALLS` steps uniform in λ."""
    extrapolated: float
    """Of 2 x_2n − x_n at the finest grid, which takes away what falls as 1/n."""


@functools.lru_cache(maxsize=1)
def errors(subject: Subject) -> dict[str, Errors]:
    """Of each problem."""
    start = low(subject.rowed.convergence_order)
    grids = [np.linspace(start, HIGH, n + 1) for n in CALLS]
    tables = [tabulate(subject.rowed, grid, "state") for grid in grids]
    measured = {}
    with jax.enable_x64(True):
        for name, problem in PROBLEMS.items():
            x, end = flow(name, start)
            go = functools.partial(march, subject.rowed, problem.denoise)
            off = [np.asarray(go(grid, x, rows=rows)) - end for grid, rows in zip(grids, tables, strict=True)]
            rms = lambda off: np.sqrt(np.mean(off**2))  # noqa: E731
            measured[name] = Errors(np.array([rms(each) for each in off]), rms(2 * off[-1] - off[-2]))
    return measured


def fitted_order(error: np.ndarray) -> float:
    """Slope of −log error over log n; NaN where fewer than three grids have an error above rounding."""
    kept = [i for i, value in enumerate(error) if not value < FLOOR][-FITTED:]
    if len(kept) < 3:
        return float("nan")
    return float(-np.polyfit(np.log(np.array(CALLS)[kept]), np.log(error[kept]), 1)[0])


def order(subject: Subject) -> Row:
    """The error falls at least as fast as declared, on both problems."""
    declared = subject.rowed.convergence_order
    expected = f"≥ {declared - SLACK:.2f} (declared {declared})"
    if subject.noisy:
        return Row("order", "not checked", "stochastic: see moments", expected)
    found = {name: fitted_order(error.at) for name, error in errors(subject).items()}
    right = [
        value >= declared - SLACK or bool(np.all(errors(subject)[name].at[-3:] < FLOOR))
        for name, value in found.items()
    ]
    return Row.judged(
        "order",
        all(right),
        ", ".join(f"{value:.2f} ({name})" for name, value in found.items()),
        expected,
        "the error falls more slowly than declared: check the weights of the update (a wrong or missing term costs one "
        "order), or declare what was measured as `order` (or `convergence_order`)",
    )


def limit(subject: Subject) -> Row:
    """As the steps grow shorter, the result tends to the exact one."""
    if subject.noisy:
        return moments.limit(subject)
    found = {name: error.extrapolated for name, error in errors(subject).items()}
    return Row.judged(
        "limit",
        all(value <= CLOSE for value in found.values()),
        ", ".join(f"{value:.1e} ({name})" for name, value in found.items()),
        f"≤ {CLOSE:.0e} from the exact flow, extrapolated",
        "the solver converges to something else than the probability flow dx/dλ = α D − α² x: check the signs and the "
        "coefficients against (3) of process/gaussian.py, that `to` is used where the step ends, and that noise is `noise`",
    )
