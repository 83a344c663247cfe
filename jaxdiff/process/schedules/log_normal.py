"""Schedule that draws noise levels from a log-normal distribution."""

import jax.scipy.special as jax_special
import numpy as np
import scipy.special as numpy_special

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule, at_least

END = 4.0
"""Standard deviations from the mean at which the ends lie; 6e-5 of a normal distribution is beyond them."""


class LogNormal(Schedule):
    """λ = −mean − std Φ⁻¹(t): uniform times give log(σ/α) normal with `mean` and `std`.

    Karras et al. 2022, "EDM", arXiv 2206.00364, table 1 draw log σ from N(−1.2, 1.2²) for images of standard deviation
    0.5; the default mean is theirs for images of 1.
    """

    mean: float = -0.507
    std: float = 1.2

    def __check_init__(self):
        at_least("std", self.std, 0.0)

    @property
    def lam_min(self) -> float:
        return -self.mean - END * self.std

    @property
    def lam_max(self) -> float:
        return -self.mean + END * self.std

    def lam(self, t):
        special = numpy_special if namespace(t) is np else jax_special
        return -self.mean - self.std * special.ndtri(t)

    def time(self, lam):
        special = numpy_special if namespace(lam) is np else jax_special
        return special.ndtr(-(lam + self.mean) / self.std)
