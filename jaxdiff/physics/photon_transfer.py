"""The photon transfer curve: the variance of a camera's noise over its light, fitted with what is known of the camera.

    Var = R + b a + t a²,   a = grey level − offset,   b the gain,   R = b² read_noise² ≥ 0,   t ≥ 0

t a² is fixed pattern or texture of a contrast √t that is the same everywhere (Janesick 2007, Photon Transfer, SPIE). Relative
deviations are fitted, since the variance of each group of pixels is known to the same share of it, reweighted so that a
few that are off count less (Foi, Trimeche, Katkovnik & Egiazarian 2008, doi:10.1109/TIP.2008.2001399, in outline). The fit
is a profile over b: for each b what is best of the rest, not below 0. Where offset and read noise are known, R + b a is any
function of b, such as that of a camera whose grey levels are rounded, and gains may fit that do not lie side by side: the
interval is from the least to the largest.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

STEPS = 25
"""Rounds of reweighting."""
HUBER = 1.5
"""Scatters from which a group counts less."""
CLEAR = 2.0
"""Standard errors from which texture is one."""
ERRORS = 2.0
"""Standard errors of the interval, to either side."""
TIE = 1e-3
"""Added to either end, relative, where the variance may jump with the gain: where grey levels lie on a half."""
RANGE, GAINS = 100.0, 160
"""Of the gains that are tried where all else is known: the largest over the least, and how many."""


class Interval(NamedTuple):
    """A number, and between which it is likely to lie."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Relative distance of the farther end."""
        return max(self.high - self.value, self.value - self.low) / self.value if self.value > 0 else float("inf")

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


class Fit(NamedTuple):
    """Of variances over light."""

    gain: Interval
    intercept: float
    """R."""
    texture: float
    """t."""

    @property
    def read_noise(self) -> float:
        """Electrons."""
        return float(np.sqrt(max(self.intercept, 0.0))) / self.gain.value if self.gain.value > 0 else 0.0


def fit_curve(
    light: Float[np.ndarray, " groups"],
    variances: Float[np.ndarray, " groups"],
    errors: Float[np.ndarray, " groups"],
    variance_of: Callable[[float], Float[np.ndarray, " groups"]] | None = None,
    *,
    free: bool = False,
) -> Fit:
    """Of variances (grey levels²) over light (grey levels above the offset).

    errors: relative standard errors of the variances. variance_of: the variances without t by the gain, where they depend on
    nothing else. free: the offset is not known: the intercept may have any sign, and there is no t, which an offset would
    be mixed up with. The gain is 0 where the variance does not grow with light beyond its errors.
    """
    light, variances = np.asarray(light, np.float64), np.asarray(variances, np.float64)
    light = light if free else np.maximum(light, 0.0)
    gains, table = np.zeros(0), np.zeros((0, len(light)))
    lit = light > 0
    variance_of = functools.cache(variance_of) if variance_of and lit.any() else None
    if variance_of:
        most = 2 * float(np.median(variances[lit] / light[lit]))  # no group has less than its photons' variance
        gains = np.geomspace(most / RANGE, most, GAINS)
        table = np.stack([variance_of(float(b)) for b in gains])
    curve = _Curve(
        light,
        variances,
        errors=np.asarray(errors),
        scale=np.ones_like(light),
        free=free,
        even=free,
        variance_of=variance_of,
        gains=gains,
        table=table,
    )
    plain, textured = _fitted(curve._replace(even=True)), _fitted(curve)
    curve, best, scatter = plain
    other, terms, least = textured
    if not free and curve.cost(best) - curve.cost(terms) > (CLEAR * least) ** 2:
        curve, best, scatter = other, terms, least
    allowed = curve.cost(best) + (ERRORS * scatter) ** 2
    if variance_of:
        low, high = _ends(curve, float(best[1]), allowed)
    else:
        high = _crossing(curve, best[1], allowed, up=True)
        low = _crossing(curve, best[1], allowed, up=False)
    if free and low <= 0:
        return Fit(Interval(0.0, 0.0, high), float(np.median(variances)), 0.0)
    return Fit(Interval(float(best[1]), low, high), float(best[0]), float(best[2]))


def _fitted(curve: "_Curve") -> tuple["_Curve", np.ndarray, float]:
    """The curve with the weights of its last round, its terms, and the scatter about it in standard errors, 1 or more."""
    variances = curve.variances
    fitted, least = np.full_like(variances, np.median(variances)), 1e-3 * float(np.median(variances))
    best, scatter = np.zeros(3), 1.0
    for _ in range(STEPS):
        off = (variances - fitted) / (np.maximum(fitted, least) * curve.errors)
        scatter = max(1.0, 1.4826 * float(np.median(np.abs(off))))
        weight = np.sqrt(np.minimum(1.0, HUBER * scatter / np.maximum(np.abs(off), 1e-12)))
        curve = curve._replace(scale=weight / (np.maximum(fitted, least) * curve.errors))
        best = curve.best()
        fitted = curve.at(best)
    return curve, curve.between(best), scatter


class _Curve(NamedTuple):
    light: np.ndarray
    variances: np.ndarray
    errors: np.ndarray
    scale: np.ndarray
    free: bool
    even: bool
    """Without t."""
    variance_of: Callable[[float], np.ndarray] | None
    gains: np.ndarray
    table: np.ndarray
    """`variance_of` of each of `gains`."""

    def at(self, terms: np.ndarray) -> np.ndarray:
        line = self.variance_of(float(terms[1])) if self.variance_of else terms[0] + terms[1] * self.light
        return line + terms[2] * self.light**2

    def cost(self, terms: np.ndarray) -> float:
        return float(np.sum((self.scale * (self.variances - self.at(terms))) ** 2))

    def best(self) -> np.ndarray:
        """R, b and t; of `gains` where there are any."""
        if len(self.gains):
            return self.beside(float(self.gains[np.argmin(self.costs())]))
        columns = [self.scale, self.scale * self.light, self.scale * self.light**2]
        terms = _solved(columns[: 2 if self.even else 3], self.scale * self.variances, not self.free)
        return np.append(terms, 0.0) if self.even else terms

    def between(self, best: np.ndarray) -> np.ndarray:
        """The best between the neighbours of one of `gains`."""
        if not len(self.gains):
            return best
        k = int(np.argmin(np.abs(self.gains - best[1])))
        bounds = (self.gains[max(k - 1, 0)], self.gains[min(k + 1, GAINS - 1)])
        minimum = optimize.minimize_scalar(lambda b: self.cost(self.beside(b)), bounds=bounds, method="bounded")
        near = self.beside(float(minimum.x))  # type: ignore[union-attr]
        return near if self.cost(near) < self.cost(best) else best

    def costs(self) -> np.ndarray:
        """Of each of `gains`, beside the best t."""
        rest, square = self.scale * (self.variances - self.table), self.scale * self.light**2
        texture = 0.0 if self.even else np.maximum(rest @ square, 0.0) / (square @ square)
        return np.sum((rest - np.multiply.outer(texture, square)) ** 2, axis=1)

    def beside(self, b: float) -> np.ndarray:
        """The best R and t beside a gain b."""
        line = self.variance_of(float(b)) if self.variance_of else b * self.light
        rest = self.scale * (self.variances - line)
        one, square = self.scale, self.scale * self.light**2
        if self.free:
            return np.array([one @ rest / (one @ one), b, 0.0])
        if self.variance_of:
            return np.array([0.0, b, 0.0 if self.even else max(0.0, square @ rest) / (square @ square)])
        intercept, *texture = _solved([one] if self.even else [one, square], rest, True)
        return np.array([intercept, b, *(texture or [0.0])])


def _solved(columns: list[np.ndarray], target: np.ndarray, positive: bool) -> np.ndarray:
    """Least squares, of numbers that are 0 or more where `positive`."""
    lengths = np.array([np.linalg.norm(column) for column in columns])
    lengths = np.where(lengths > 0, lengths, 1.0)
    scaled = np.stack(columns, axis=1) / lengths
    terms = optimize.nnls(scaled, target)[0] if positive else np.linalg.lstsq(scaled, target, rcond=None)[0]
    return terms / lengths


def _ends(curve: _Curve, b: float, allowed: float) -> tuple[float, float]:
    """The least and the largest gain whose cost is up to `allowed`: 0 and infinity beyond those that are tried."""
    gains = np.insert(curve.gains, k := int(np.searchsorted(curve.gains, b)), b)
    possible = np.flatnonzero(np.insert(curve.costs(), k, 0.0) <= allowed)

    def over(b: float) -> float:
        return curve.cost(curve.beside(b)) - allowed

    first, last = possible[0], possible[-1]
    low = optimize.brentq(over, gains[first - 1], gains[first]) if first > 0 else 0.0
    high = optimize.brentq(over, gains[last], gains[last + 1]) if last < len(gains) - 1 else float("inf")
    return float(low) * (1 - TIE), float(high) * (1 + TIE)  # type: ignore[arg-type]


def _crossing(curve: _Curve, b: float, allowed: float, *, up: bool) -> float:
    """Where beside `b` the cost reaches `allowed`: infinity, or without a free intercept 0, where it does not."""

    def over(b: float) -> float:
        return curve.cost(curve.beside(b)) - allowed

    if not up and not curve.free and over(0.0) <= 0:
        return 0.0
    step = max(abs(b), 1e-3 * float(np.median(curve.variances)) / max(float(np.abs(curve.light).max()), 1e-12))
    if not up and not curve.free:
        return float(optimize.brentq(over, 0.0, b))  # type: ignore[arg-type]
    for _ in range(60):
        end = b + step if up else b - step
        if over(end) > 0:
            return float(optimize.brentq(over, min(b, end), max(b, end)))  # type: ignore[arg-type]
        step *= 2
    return float("inf") if up else float("-inf")
