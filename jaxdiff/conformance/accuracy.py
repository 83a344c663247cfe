"""Order and limit of the probability flow, from the signed errors of grids of three patterns on data of three kinds."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from jaxdiff.conformance import moments
from jaxdiff.conformance.expansion import FACTORS, LENGTHS, MOST, Expansion, expansion, grids
from jaxdiff.conformance.march import march, silent
from jaxdiff.conformance.problems import ENDS, HEAVY, UNIT, WIDE, WIDTH, MixtureProblem, uniform
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import RowSolver, tabulate

LOW, HIGH = -1.5, 0.5
SHIFT = float(np.log(WIDTH))
"""Data so many times as wide are resolved where λ is lower by this."""
STATES = 4
LIMIT = 1e-6
HOPELESS = 0.1
SLACK, CLOSE, FLOOR = 0.15, 1e-3, 1e-12
"""Where errors are no power series: of the slope, of the extrapolated error, and of rounding."""
FEW, SHORT_OF = np.array([6, 8, 10, 12, 16, 20, 24, 32]), 1.0
"""Steps of the grids where orders above `MOST` show, and by how much their slope may fall short of the order."""


class Passage(NamedTuple):
    """Data, the λ between which the flow is followed, and the patterns of grids."""

    problem: MixtureProblem
    low: float
    high: float
    patterns: tuple[str, ...]


PASSAGES = {
    "unit": Passage(UNIT, LOW, HIGH, ("uniform", "alternating", "irregular")),
    "heavy": Passage(HEAVY, LOW, HIGH, ("uniform", "alternating", "irregular")),
    "wide": Passage(WIDE, LOW - SHIFT, HIGH - SHIFT, ("uniform",)),
}
ALL = PASSAGES | {
    name: Passage(uniform(UNIT, width, 0.7), low, high, ("uniform",)) for name, (width, low, high) in ENDS.items()
}
"""Also the stretches of the clock of which the limit alone is asked."""


@functools.cache
def flow(name: str) -> tuple[np.ndarray, np.ndarray]:
    """States at the beginning of the passage, and where the exact flow brings them at its end."""
    problem, low, high, _ = ALL[name]
    x = problem.states(low, STATES)
    return x, problem.flow(x, low, np.array([high]))[0]


class Course(NamedTuple):
    """How the error of one kind of data on one pattern of grids falls, in units of each state's own size."""

    series: Expansion
    errors: np.ndarray
    """(lengths,) root mean squares, of the longest grids that were tried."""
    extrapolated: float
    """Of 2 e_2n − e_n at the finest grid, which takes away what falls as 1/n."""

    @property
    def slope(self) -> float:
        """Of −log error over log n, where the errors are no power series."""
        return float(-np.polyfit(np.log(LENGTHS[-4:]), np.log(np.maximum(self.errors[-4:], FLOOR)), 1)[0])

    @property
    def order(self) -> str:
        """As it is told: a number of terms, or a slope."""
        if not self.series.resolved:
            return f"{self.slope:.2f}"
        return str(self.series.order) if self.series.order <= MOST else f"> {MOST}"

    def is_of(self, order: float) -> bool:
        """Whether no term is there below the declared one."""
        if not self.series.resolved:
            return self.slope >= order - SLACK or bool(np.all(self.errors[-3:] <= FLOOR))
        return all(self.series.vanishes(power) for power in range(1, MOST + 1) if power < order)

    @property
    def off(self) -> float:
        """Distance of the limit from the exact flow."""
        return float(self.series.terms[0]) if self.series.resolved else self.extrapolated

    @property
    def is_right(self) -> bool:
        """Whether the limit is the exact flow."""
        if not self.series.resolved:
            return self.extrapolated <= CLOSE
        return self.off <= LIMIT or self.series.vanishes(0)


def declared_order(solver: RowSolver, pattern: str) -> float:
    """What the solver says of grids of this pattern."""
    return solver.uniform_order if pattern == "uniform" else solver.convergence_order


@functools.lru_cache(maxsize=1)
def courses(subject: Subject) -> dict[tuple[str, str], Course]:
    """Of each kind of data and pattern of grids. A solver with noise runs without it, and its own limit counts as right."""
    solver = subject.rowed

    @functools.cache
    def tables(low: float, high: float, pattern: str, factor: int):
        laid = grids(pattern, low, high, declared_order(solver, pattern), factor)
        return [(grid, tabulate(solver, grid, "state")) for grid in laid]

    def course(name: str, pattern: str) -> Course:
        problem, low, high, _ = ALL[name]
        declared = declared_order(solver, pattern)
        x, end = flow(name)
        scale = np.sqrt(np.mean(end**2, axis=tuple(range(1, end.ndim)), keepdims=True))

        def errors(factor: int) -> np.ndarray:
            reached = [
                np.asarray(march(solver, problem.denoise, grid, x, noise=silent, rows=rows))
                for grid, rows in tables(low, high, pattern, factor)
            ]
            signed = (np.stack(reached) - end).reshape(len(LENGTHS), *end.shape) / scale
            signed = signed.reshape(len(LENGTHS), -1)
            if subject.noisy:
                steps = LENGTHS[0] / LENGTHS
                signed = signed - np.linalg.solve(np.vander(steps, increasing=True), signed)[0]
            return signed

        rms = lambda errors: np.sqrt(np.mean(errors**2, axis=-1))  # noqa: E731
        for factor in FACTORS:
            signed = errors(factor)
            series = expansion(signed)
            clear = series.resolved and not any(series.in_doubt(power) for power in range(MOST + 1) if power < declared)
            if clear or not rms(signed[-1]) <= HOPELESS:
                break
        return Course(series, rms(signed), float(rms(2 * signed[-1] - signed[-3])))

    passages = PASSAGES if subject.noisy else ALL
    with jax.enable_x64(True):
        return {
            (name, pattern): course(name, pattern) for name, passage in passages.items() for pattern in passage.patterns
        }


def coarse_slope(subject: Subject) -> float | None:
    """Of log error over log step on a few grids of few steps, where errors of high order are above rounding.

    None where too few of them are, or where first steps of a lower order would count.
    """
    solver = subject.rowed
    if subject.noisy or (subject.own and solver.keeps_history):
        return None
    problem, low, high, _ = PASSAGES["unit"]
    x, end = flow("unit")
    with jax.enable_x64(True):
        reached = [march(solver, problem.denoise, np.linspace(low, high, n + 1), x, noise=silent) for n in FEW]
    errors = np.array([np.sqrt(np.mean((np.asarray(states) - end) ** 2)) for states in reached])
    resolved = errors > 100 * FLOOR
    return float(-np.polyfit(np.log(FEW[resolved]), np.log(errors[resolved]), 1)[0]) if np.sum(resolved) >= 3 else None


def order(subject: Subject) -> Row:
    """No term of the error of a power below the declared order, on any grid and data; of the drift alone with noise."""
    solver = subject.rowed
    expected = f"≥ {solver.convergence_order} (declared)"
    if solver.uniform_order != solver.convergence_order:
        expected += f", {solver.uniform_order} (uniform)"
    if subject.noisy and not subject.own:
        return Row("order", "not checked", "stochastic, with noise of its own", expected)
    by_pattern: dict[str, list[Course]] = {}
    for (name, pattern), course in courses(subject).items():
        if name in PASSAGES:
            by_pattern.setdefault(pattern, []).append(course)
    right, lowest = True, {}
    for pattern, of in by_pattern.items():
        declared = declared_order(solver, pattern)
        right = right and all(course.is_of(declared) for course in of)
        lowest[pattern] = min(of, key=lambda course, declared=declared: course.is_of(declared))
    measured = ", ".join(f"{course.order} ({pattern})" for pattern, course in lowest.items())
    if right and max(solver.convergence_order, solver.uniform_order) > MOST:
        slope = coarse_slope(subject)
        measured += f"; not told above {MOST}" if slope is None else f"; {slope:.1f} (slope over coarse grids)"
        right = slope is None or slope >= solver.convergence_order - SHORT_OF
    return Row.judged(
        "order",
        right,
        measured,
        expected + (", without noise" if subject.noisy else ""),
        "the error falls more slowly than declared: check the weights of the update (a wrong or missing term costs one "
        "order; weights made for equal steps keep theirs on uniform grids only: make them of the true lengths, as "
        "`DEIS` does), or declare what was measured as `order` (or `convergence_order`)",
    )


def limit(subject: Subject) -> Row:
    """As the steps grow shorter, the result tends to the exact one."""
    if subject.noisy:
        return moments.limit_of_moments(subject)
    furthest = {name: max(_of(subject, name), key=lambda course: course.off) for name in ALL}
    return Row.judged(
        "limit",
        all(course.is_right for course in courses(subject).values()),
        ", ".join(f"{course.off:.1e} ({name})" for name, course in furthest.items()),
        f"≤ {LIMIT:.0e} from the exact flow, extrapolated",
        "the solver converges to something else than the probability flow dx/dλ = α D − α² x: check the signs and the "
        "coefficients against (3) of process/gaussian.py, and that `to` is used where the step ends; where it is right on "
        "the unit data and wrong on the wide or the heavy-tailed ones, D is clipped, rescaled or thresholded on its way, "
        "which belongs into a denoiser (jaxdiff.guidance)",
    )


def _of(subject: Subject, name: str) -> list[Course]:
    return [course for (data, _), course in courses(subject).items() if data == name]
