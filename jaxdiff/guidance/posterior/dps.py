"""DPS: diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687), with a step of bounded gain."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.jacobian import Spread
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement, dot, unit_and_length
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class DPS(eqx.Module):
    """p(y | x) ≈ N(y; A D, s²/ζ + g): D_y = D + V Aᵀ r / (s²/ζ + g),   r = y − A D,   g = rᵀ A V Aᵀ r / |r|².

    V = Cov[x0 | x] = (σ²/α) ∂D/∂x, so that the numerator is the paper's gradient. The paper leaves the spread of x0 given
    x out of p(y | x), g = 0, where the pull is too strong by (s² + A V Aᵀ)/s² while there is noise: samples diverge unless
    ζ is small and the steps many (20 calls at s = 0.1: 4e17 times the posterior's deviation). Its own step, over |r| in
    place of s², bounds this by a length that depends on the number of steps. g is what the spread of x0 adds to the
    variance of y along the residual: the gain is below 1 for every s, step and ζ, and for white data seen through a mask
    all is exact.

    scale: ζ, of the likelihood p(y | x0)^ζ. At ζ = 1 it is the first iteration of `MMPS`. One network call and its gradient.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    scale: np.ndarray = eqx.field(converter=array_leaf, default=1.0)  # type: ignore[assignment]

    __repr__ = representation

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        near = self.measurement.at(x0)
        spread = Spread(near, pull, jnp.asarray(lam, x.dtype))
        unit, length = unit_and_length(near.residual)
        pulled, _, along = spread.of(unit)
        variance = near.noise**2 / self.scale.astype(x.dtype) * dot(unit, unit) + along
        step = jnp.where(variance > 0, length / jnp.where(variance > 0, variance, 1), 0) * pulled
        return x0 + near.bounded(step)
