"""Variance-exploding process."""

import math

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule, at_least


class VarianceExploding(Schedule):
    """y = x0 + σ(t) ε with σ(t) geometric between `sigma_min` and `sigma_max`: λ = −log σ is linear in t.

    Song et al. 2021, arXiv 2011.13456. σ is in units of the (normalised) data.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __check_init__(self):
        at_least("sigma_min", self.sigma_min, 0.0)
        at_least("sigma_max", self.sigma_max, self.sigma_min)

    @property
    def lam_min(self) -> float:
        return -math.log(self.sigma_max)

    @property
    def lam_max(self) -> float:
        return -math.log(self.sigma_min)

    def lam(self, t):
        return self.lam_max + namespace(t).asarray(t) * (self.lam_min - self.lam_max)

    def time(self, lam):
        return (namespace(lam).asarray(lam) - self.lam_max) / (self.lam_min - self.lam_max)
