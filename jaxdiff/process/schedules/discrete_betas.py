"""A table of betas, as DDPM's networks are trained with."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import LAM_MAX, LAM_MIN, Schedule


def _table(betas) -> np.ndarray:
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or len(betas) < 2:
        raise ValueError(
            f"got betas of shape {betas.shape}; expected at least two numbers inside (0, 1) in one row; to fix: pass "
            "the training betas, such as np.linspace(1e-4, 0.02, 1000)"
        )
    within = (betas > 0) & (betas < 1)
    within[0] |= betas[0] == 0
    within[-1] |= betas[-1] == 1
    if not within.all():
        step = int(np.argmin(within))
        raise ValueError(
            f"got betas[{step}] = {betas[step]:g} of {len(betas)}; expected at least two numbers inside (0, 1), of which the "
            "first may be 0 (no noise yet) and the last 1 (no image left); to fix: pass the training betas, such as "
            "np.linspace(1e-4, 0.02, 1000)"
        )
    return betas


class DiscreteBetas(Schedule):
    """Exactly the discrete ᾱ_i = Π(1 − β_j) at t = (i + 1)/T, i = 0 … T−1, and λ linear in t between them.

    Times below 1/T, where a discrete model knows nothing, are those of i = 0.

    A last β of 1 (zero terminal SNR, ᾱ = 0) or a first of 0 (ᾱ = 1) has an infinite λ, in whose place is −10 or 10, where
    float32 knows nothing of the image or of the noise, or 1 beyond the step next to it where that is there already. All
    other steps are as they were.
    Ho et al. 2020, "Denoising diffusion probabilistic models", arXiv 2006.11239; zero terminal SNR: Lin et al. 2023, arXiv
    2305.08891.
    """

    betas: Float[np.ndarray, " T"] = eqx.field(converter=_table)

    @property
    def num(self) -> int:
        """T, the number of discrete steps."""
        return len(self.betas)

    @property
    def lams(self) -> np.ndarray:
        """λ of steps 0 … T−1, falling, float64."""
        with np.errstate(divide="ignore"):  # at ᾱ = 0 and 1
            log_alpha_bar = np.cumsum(np.log1p(-np.asarray(self.betas, np.float64)))
            lams = 0.5 * (log_alpha_bar - np.log(-np.expm1(log_alpha_bar)))
        if np.isinf(lams[-1]):
            lams[-1] = LAM_MIN if lams[-2] > LAM_MIN + 0.1 else lams[-2] - 1.0
        if np.isinf(lams[0]):
            lams[0] = LAM_MAX if lams[1] < LAM_MAX - 0.1 else lams[1] + 1.0
        return lams

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
