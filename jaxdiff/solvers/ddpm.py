"""Ancestral sampling of denoising diffusion probabilistic models."""

from typing import ClassVar

import numpy as np

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
        share = -np.expm1(-2.0 * h)
        table = Weights.of(at, "x0")
        table.predictor_y[:] = to.sigma / at.sigma * np.exp(-h)
        table.predictor_v[:, 0] = to.alpha * share
        table.predictor_z[:] = to.sigma * np.sqrt(share)
        return table
