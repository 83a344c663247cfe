"""Mutants by their table: coefficients, points and history changed. It is another argument of the solver's own program."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np

from jaxdiff.solvers.base import Point, Solver


class Mutant(Solver):
    """A solver whose table is changed, and perhaps its update."""

    solver: Solver
    table: Callable[[Solver, Point, Point], Any] = eqx.field(static=True)
    spoiled: Solver | None = None
    """The kernel with another update, or None."""

    evaluations = property(lambda self: self.solver.evaluations)  # type: ignore[assignment]
    order = property(lambda self: self.solver.order)
    stochastic = property(lambda self: self.solver.stochastic)  # type: ignore[assignment]
    noises = property(lambda self: self.solver.noises)  # type: ignore[assignment]
    exponential = property(lambda self: self.solver.exponential)  # type: ignore[assignment]
    keeps_history = property(lambda self: self.solver.keeps_history)
    convergence_order = property(lambda self: self.solver.convergence_order)  # type: ignore[assignment]
    uniform_order = property(lambda self: self.solver.uniform_order)  # type: ignore[assignment]
    kernel = property(lambda self: self.solver.kernel if self.spoiled is None else self.spoiled)  # type: ignore[assignment]

    def memory(self, x):
        return self.kernel.memory(x)

    def nodes(self, grid):
        return self.solver.nodes(grid)

    def weights(self, at: Point, to: Point):
        return self.table(self.solver, at, to)

    def update(self, denoise, x, at, to, noise, memory):
        return self.kernel.update(denoise, x, at, to, noise, memory)


remembered: dict[tuple[int, bytes, bytes], Any] = {}


def right(solver: Solver, at: Point, to: Point):
    """The solver's own table."""
    key = id(solver), at.lam.tobytes(), to.lam.tobytes()
    if key not in remembered:
        remembered[key] = solver.weights(at, to)
    return remembered[key]


def of_column(name: str, column: int | None, change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """The table with one coefficient, its values in all rows, changed."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        values = np.array(getattr(weights, name))
        where = slice(None) if column is None else (slice(None), column)
        values[where] = change(values[where])
        return weights._replace(**{name: values})

    return table


def of_points(change: Callable[[Point, Point], tuple[Point, Point]]) -> Callable:
    """The table made from other points."""
    return lambda solver, at, to: solver.weights(*change(at, to))


def of_history(change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """The table with all weights of values, newest first, changed."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        return weights._replace(**{name: change(getattr(weights, name)) for name in ("predictor_v", "corrector_v")})

    return table


def of_corrector(by: float) -> Callable:
    """The table with what the corrector adds of values times a number; 0: no corrector."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        if by:
            return weights._replace(corrector_v=by * weights.corrector_v)
        none = {name: np.zeros_like(getattr(weights, name)) for name in ("corrector_y", "corrector_v")}
        return weights._replace(corrector_x=np.ones_like(weights.corrector_x), **none)

    return table


def folded(values: np.ndarray) -> np.ndarray:
    """All weight on the newest."""
    return np.concatenate([values.sum(1, keepdims=True), np.zeros_like(values[:, 1:])], 1)


COLUMNS = {
    "x 1.01": lambda values: 1.01 * values,
    "x 0.99": lambda values: 0.99 * values,
    "dropped": np.zeros_like,
    "of the row before": lambda values: np.roll(values, 1),
}
exchanged = lambda point: point._replace(alpha=point.sigma, sigma=point.alpha)  # noqa: E731
stretched = lambda at, to, by: Point.of(at.lam + by * (to.lam - at.lam))  # noqa: E731
POINTS = {
    "alpha and sigma exchanged": lambda at, to: (exchanged(at), exchanged(to)),
    "alpha and sigma of `at` exchanged": lambda at, to: (exchanged(at), to),
    "alpha and sigma of `to` exchanged": lambda at, to: (at, exchanged(to)),
    "alpha of `at` for that of `to`": lambda at, to: (at, to._replace(alpha=at.alpha)),
    "sigma of `at` for that of `to`": lambda at, to: (at, to._replace(sigma=at.sigma)),
    "alpha of `to` for that of `at`": lambda at, to: (at._replace(alpha=to.alpha), to),
    "sigma of `to` for that of `at`": lambda at, to: (at._replace(sigma=to.sigma), to),
    "step x 1.01": lambda at, to: (at, to._replace(lam=at.lam + 1.01 * (to.lam - at.lam))),
    "step x 0.99": lambda at, to: (at, to._replace(lam=at.lam + 0.99 * (to.lam - at.lam))),
    "step at most 0.3": lambda at, to: (at, to._replace(lam=at.lam + np.minimum(to.lam - at.lam, 0.3))),
}
HISTORY = {
    "history dropped": folded,
    "history one step late": lambda values: np.roll(values, 1, axis=1),
    "all history x 1.01": lambda values: 1.01 * values,
}
