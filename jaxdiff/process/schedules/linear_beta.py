"""Variance-preserving process with linearly rising rate."""

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule, at_least


class LinearBeta(Schedule):
    """β(t) rises linearly from `beta_min` to `beta_max`: α² = exp(−B(t)), B = β_min t + ½ (β_max − β_min) t².

    Song et al. 2021, "Score-based generative modeling through SDEs", arXiv 2011.13456; the continuous limit of the
    linear betas of Ho et al. 2020, arXiv 2006.11239.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __check_init__(self):
        at_least("beta_min", self.beta_min, 0.0)
        at_least("beta_max", self.beta_max, self.beta_min)

    @property
    def lam_min(self) -> float:
        return float(self.lam(1.0))

    def integral(self, t):
        """B(t) = ∫ β from 0 to t = −log α²."""
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def integral_inverse(self, integral):
        """t where B(t) = `integral`, in the form without cancellation."""
        xp = namespace(integral)
        slope = self.beta_max - self.beta_min
        return 2.0 * integral / (self.beta_min + xp.sqrt(self.beta_min**2 + 2.0 * slope * integral))

    def lam(self, t):
        xp = namespace(t)
        integral = self.integral(t)
        return -0.5 * (integral + xp.log(-xp.expm1(-integral)))

    def time(self, lam):
        return self.integral_inverse(namespace(lam).logaddexp(0.0, -2.0 * lam))
