"""EDM's noise levels."""

import math

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule, at_least


class Karras(Schedule):
    """y = x0 + σ(t) ε with σ^(1/ρ) linear in t.

    Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", arXiv 2206.00364, eq. 5.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __check_init__(self):
        at_least("sigma_min", self.sigma_min, 0.0)
        at_least("sigma_max", self.sigma_max, self.sigma_min)
        at_least("rho", self.rho, 0.0)

    @property
    def lam_min(self) -> float:
        return -math.log(self.sigma_max)

    @property
    def lam_max(self) -> float:
        return -math.log(self.sigma_min)

    @property
    def _ends(self) -> tuple[float, float]:
        return self.sigma_min ** (1.0 / self.rho), self.sigma_max ** (1.0 / self.rho)

    def lam(self, t):
        low, high = self._ends
        return -self.rho * namespace(t).log(low + t * (high - low))

    def time(self, lam):
        low, high = self._ends
        return (namespace(lam).exp(-lam / self.rho) - low) / (high - low)
