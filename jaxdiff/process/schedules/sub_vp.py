"""Sub-variance-preserving process."""

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule
from jaxdiff.process.schedules.linear_beta import LinearBeta


class SubVP(Schedule):
    """y = α x0 + (1 − α²) ε with the α of `LinearBeta`; its own SDE is (★) at η = 1 after rescaling.

    With u = B/2 = −log α the ratio α/(1 − α²) is 1/(2 sinh u), which inverts without cancellation.
    Song et al. 2021, arXiv 2011.13456, section 3.4.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    @property
    def _vp(self) -> LinearBeta:
        return LinearBeta(self.beta_min, self.beta_max)

    def __check_init__(self):
        self._vp.__check_init__()

    @property
    def lam_min(self) -> float:
        return float(self.lam(1.0))

    def lam(self, t):
        xp = namespace(t)
        u = 0.5 * self._vp.integral(t)
        return -u - xp.log(-xp.expm1(-2.0 * u))

    def time(self, lam):
        xp = namespace(lam)
        return self._vp.integral_inverse(2.0 * xp.arcsinh(0.5 * xp.exp(-lam)))
