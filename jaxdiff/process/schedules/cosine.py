"""Cosine schedule."""

import math

from jaxdiff.process.gaussian import alpha, namespace, sigma
from jaxdiff.process.schedules.base import Schedule, at_least


class Cosine(Schedule):
    """α = cos a(t) / cos a(0), a(t) = (π/2) (t + s)/(1 + s).

    1 − α² is written as sin(a − a0) sin(a + a0)/cos² a0, which keeps all digits near t = 0.
    Nichol and Dhariwal 2021, "Improved DDPM", arXiv 2102.09672.
    """

    s: float = 0.008

    def __check_init__(self):
        at_least("s", self.s, -1e-12)

    @property
    def _offset(self) -> float:
        return 0.5 * math.pi * self.s / (1.0 + self.s)

    def lam(self, t):
        xp = namespace(t)
        a0, rise = self._offset, 0.5 * math.pi * t / (1.0 + self.s)
        # cos a near t = 1 is the sine of what is left to π/2
        left = 0.5 * math.pi * (1.0 - t) / (1.0 + self.s)
        return xp.log(xp.sin(left)) - 0.5 * xp.log(xp.sin(rise) * xp.sin(rise + 2.0 * a0))

    def time(self, lam):
        xp = namespace(lam)
        a0 = self._offset
        cos = alpha(lam) * math.cos(a0)
        sin = xp.sqrt(sigma(lam) ** 2 + (alpha(lam) * math.sin(a0)) ** 2)
        return (xp.arctan2(sin, cos) - a0) * (1.0 + self.s) / (0.5 * math.pi)
