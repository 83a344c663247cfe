"""DPS: diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687)."""

import equinox as eqx
import jax
import numpy as np

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.solvers.base import array_leaf


class DPS(eqx.Module):
    """p(y | x) ≈ N(y; A D, s²): D_y = D + ζ (σ²/α) (∂D/∂x)ᵀ Aᵀ (y − A D) / s².

    scale: ζ. The spread of x0 given x is left out, so that at ζ = 1 the pull is too strong by (s² + A V Aᵀ)/s²,
    V = Cov[x0 | x]: much while there is noise, nothing at the end; posterior samples are too narrow. The paper divides by
    |y − A D| in place of s², step by step, which depends on the number of steps. One network call and its gradient.
    Raises ValueError for a measurement without noise.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    scale: np.ndarray = eqx.field(converter=array_leaf, default=1.0)  # type: ignore[assignment]

    def __check_init__(self):
        noise = self.measurement.noise
        if isinstance(noise, np.ndarray) and not (noise > 0).all():
            raise ValueError("got a measurement without noise; expected some; to fix: PiGDM or DDNM, or noise above 0")

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        near = self.measurement.at(x0)
        (gradient,) = pull(near.operator.adjoint(near.residual) / near.noise**2)
        lam = jax.numpy.asarray(lam, x.dtype)
        return x0 + self.scale.astype(x.dtype) * sigma(lam) ** 2 / alpha(lam) * gradient
