"""What every schedule shares: finite ends, and clipping of the argument (never of the result) to them."""

from abc import abstractmethod

import equinox as eqx

from jaxdiff.process.gaussian import namespace
from jaxdiff.representation import representation

# Outside these the images are pure signal or pure noise to float32, whatever a formula says at t = 0 or 1.
LAM_MIN, LAM_MAX = -10.0, 10.0


class Schedule(eqx.Module):
    """A falling map from time t in [0, 1] to half log-SNR λ, and back.

    A new schedule writes `lam(t)` and `time(lam)`, its formulas on the open interval, with the functions of
    `namespace(t)` so that NumPy float64 (host tables) and JAX (training draws) share them. Where a formula is
    infinite at an end, `lam_min` and `lam_max` bound it.
    """

    __repr__ = representation

    @property
    def lam_min(self) -> float:
        """λ at t = 1, finite."""
        return LAM_MIN

    @property
    def lam_max(self) -> float:
        """λ at t = 0, finite."""
        return LAM_MAX

    @abstractmethod
    def lam(self, t):
        """λ at time t, for t inside (0, 1)."""

    @abstractmethod
    def time(self, lam):
        """t at half log-SNR λ; inverse of `lam`."""

    def to_lam(self, t):
        """λ in [lam_min, lam_max] at time t in [0, 1]; float64 NumPy for numbers and NumPy arrays, JAX for JAX arrays.

        t is clipped to where λ stays inside the finite ends, so that neither value nor gradient is ever NaN.
        """
        first, last = self.time(self.lam_max), self.time(self.lam_min)
        return self.lam(namespace(t).clip(t, first, last))

    def to_time(self, lam):
        """Time t in [0, 1] at half log-SNR `lam`, which is clipped to [lam_min, lam_max]."""
        xp = namespace(lam)
        return xp.clip(self.time(xp.clip(lam, self.lam_min, self.lam_max)), 0.0, 1.0)


def at_least(name: str, value: float, bound: float) -> None:
    """Raises `ValueError` unless `value` > `bound`; the one check that schedules need."""
    if not value > bound:
        raise ValueError(f"got {name}={value}; expected more than {bound}; to fix: pass a larger {name}")
