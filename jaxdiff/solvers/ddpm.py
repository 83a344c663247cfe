"""Ancestral sampling of denoising diffusion probabilistic models."""

from typing import ClassVar

import numpy as np

from jaxdiff.solvers.base import Point, Solver


class DDPM(Solver):
    """x_s = (σ_s/σ_t) e^(−h) x + α_s (1 − e^(−2h)) D + σ_s √(1 − e^(−2h)) z: the posterior q(x_s | x_t, x0 = D).

    The exact step of (★) at η = 1 with D frozen (`process/gaussian.py`, equation 3).
    Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models", arXiv 2006.11239, eq. 7.
    """

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True

    def weights(self, at: Point, to: Point):
        h = to.lam - at.lam
        share = -np.expm1(-2.0 * h)
        return to.sigma / at.sigma * np.exp(-h), to.alpha * share, to.sigma * np.sqrt(share)

    def update(self, denoise, x, at, to, noise, memory):
        keep, pull, fresh = at.weights
        return keep * x + pull * denoise(x, at.lam) + fresh * noise, memory
