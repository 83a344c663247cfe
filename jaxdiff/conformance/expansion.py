"""Errors as powers of the step: what tells a wrong limit from a slow one, and one order from the next.

On grids of one pattern, each finer than the one before, the signed error of a method is

    e(h) = c₀ + c₁ h + c₂ h² + …,

with c₀ = 0 where it tends to the right limit, and c₁ = … = c_{p−1} = 0 where it is of order p (Gragg 1965; Hairer, Nørsett
and Wanner 1993, "Solving ordinary differential equations I", II.8). The polynomial through the errors at many lengths gives
the c's to many digits (Richardson). The size of an error, or its slope over a few lengths, tells neither: terms of both
signs cancel somewhere, and a small wrong term hides below a large right one until the steps are very short.
"""

from typing import NamedTuple

import numpy as np

PATTERNS = {"uniform": (1.0,), "alternating": (1.0, 3.0), "irregular": (2.0, 6.0, 1.0, 4.0)}
"""Lengths of neighbouring steps, repeated along the grid. Weights of a fixed spacing show on all but the first."""
LENGTHS = np.array([32, 40, 48, 56, 64, 80, 96, 128, 192, 256])
FACTORS = (1, 4, 16)
"""`LENGTHS` is multiplied by these in turn until the power series is seen; twice that for what is of order 3 or more."""
RESOLVED = 1e-6
MARGIN, CERTAIN = 10.0, 30.0
SMALL = 1e-8
"""What coefficients rounded to single precision may leave of a term."""
MOST = 4
"""The highest power that is told from rounding."""


class Expansion(NamedTuple):
    """Coefficients of the error, in units of its scale and of the coarsest grid's step."""

    terms: np.ndarray
    """(1 + MOST,): c₀, c₁ …, root mean squares over the values."""
    doubts: np.ndarray
    """(1 + MOST,): by how much they change when the coarsest grid is left out, which is about what more grids would do."""

    @property
    def resolved(self) -> bool:
        """Whether the errors are a power series in the step; where a rule inside the method jumps they are not."""
        return bool(self.doubts[0] <= RESOLVED)

    def vanishes(self, power: int) -> bool:
        """Whether this term is zero, as far as can be told."""
        return bool(self.terms[power] <= max(MARGIN * self.doubts[power], SMALL))

    def in_doubt(self, power: int) -> bool:
        """Whether a term that seems to be there may come from those left out: shorter steps tell."""
        return not self.vanishes(power) and bool(self.terms[power] <= CERTAIN * self.doubts[power])

    @property
    def order(self) -> int:
        """The lowest power from 1 on that is there; MOST + 1 where none is."""
        return next((power for power in range(1, MOST + 1) if not self.vanishes(power)), MOST + 1)


def expansion(errors: np.ndarray) -> Expansion:
    """Of signed errors (lengths, values) on grids of `LENGTHS` steps times one number."""
    steps = LENGTHS[0] / LENGTHS
    everything = np.linalg.solve(np.vander(steps, increasing=True), errors)
    without = np.linalg.solve(np.vander(steps[1:], increasing=True), errors[1:])
    rms = lambda values: np.sqrt(np.mean(values**2, axis=1))[: MOST + 1]  # noqa: E731
    return Expansion(rms(everything), rms(everything[:-1] - without))


def grids(pattern: str, low: float, high: float, order: float, factor: int) -> list[np.ndarray]:
    """Grids from `low` to `high` of `LENGTHS` · factor steps, or twice as many.

    A method of order 3 or more that takes its first steps with a lower order has an error of second order from them. Its
    own shows where these steps are short: on grids with λ as a power of the pattern's own clock.
    """
    power = 1 if order < 3 else (order + 1) // 2
    relative = np.array(PATTERNS[pattern])
    laid = []
    for steps in LENGTHS * (factor if order < 3 else 2 * factor):
        clock = np.append(0.0, np.cumsum(np.tile(relative, steps // len(relative))))
        laid.append(low + (high - low) * (clock / clock[-1]) ** power)
        laid[-1][-1] = high
    return laid
