"""A table of betas, as DDPM's networks are trained with."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import Schedule


def _table(betas) -> np.ndarray:
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or len(betas) < 2 or not np.all((betas > 0) & (betas < 1)):
        raise ValueError(
            f"got betas of shape {betas.shape}; expected at least two numbers inside (0, 1) in one row; to fix: pass "
            "the training betas, such as np.linspace(1e-4, 0.02, 1000)"
        )
    return betas


class DiscreteBetas(Schedule):
    """Exactly the discrete ᾱ_i = Π(1 − β_j) at t = (i + 1)/T, i = 0 … T−1, and λ linear in t between them.

    Times below 1/T, where a discrete model knows nothing, are those of i = 0.
    Ho et al. 2020, "Denoising diffusion probabilistic models", arXiv 2006.11239.
    """

    betas: Float[np.ndarray, " T"] = eqx.field(converter=_table)

    @property
    def num(self) -> int:
        """T, the number of discrete steps."""
        return len(self.betas)

    @property
    def lams(self) -> np.ndarray:
        """λ of steps 0 … T−1, falling, float64."""
        log_alpha_bar = np.cumsum(np.log1p(-np.asarray(self.betas, np.float64)))
        return 0.5 * (log_alpha_bar - np.log(-np.expm1(log_alpha_bar)))

    @property
    def _times(self) -> np.ndarray:
        return np.arange(1, self.num + 1) / self.num

    @property
    def lam_min(self) -> float:
        return float(self.lams[-1])

    @property
    def lam_max(self) -> float:
        return float(self.lams[0])

    def lam(self, t):
        return namespace(t).interp(t, self._times, self.lams)

    def time(self, lam):
        return namespace(lam).interp(lam, self.lams[::-1], self._times[::-1])
