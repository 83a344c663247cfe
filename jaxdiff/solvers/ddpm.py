"""Ancestral sampling of denoising diffusion probabilistic models."""

from typing import ClassVar

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point
from jaxdiff.solvers.multistep import LinearMultistep, Weights


class DDPM(LinearMultistep):
    """x_s = (σ_s/σ_t) e^(−h) x + α_s (1 − e^(−2h)) D + σ_s √(1 − e^(−2h)) z: the posterior q(x_s | x_t, x0 = D).

    The exact step of (★) at η = 1 with D frozen (`process/gaussian.py`, equation 3).
    Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models", arXiv 2006.11239, eq. 7.
    """

    order: ClassVar[int] = 1
    exponential: ClassVar[bool] = True

    @property
    def keeps_history(self) -> bool:
        return False

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        xp = namespace(h)
        share = -xp.expm1(-2.0 * h)
        return Weights.of(at, "x0").filled(
            predictor_y=to.sigma / at.sigma * xp.exp(-h),
            predictor_v=(to.alpha * share)[:, None],
            predictor_z=to.sigma * xp.sqrt(share),
        )
