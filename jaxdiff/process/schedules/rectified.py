"""Straight-line interpolation between data and noise."""

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule


class Rectified(Schedule):
    """y = (1 − t) x0 + t ε, so λ = log((1 − t)/t).

    Liu et al. 2022, "Flow straight and fast", arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747.
    """

    def lam(self, t):
        xp = namespace(t)
        return xp.log1p(-t) - xp.log(t)

    def time(self, lam):
        return namespace(lam).exp(-namespace(lam).logaddexp(0.0, lam))
