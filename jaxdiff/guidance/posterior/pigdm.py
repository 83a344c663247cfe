"""ΠGDM: pseudoinverse-guided diffusion (Song et al. 2023, ICLR, openreview 9_gsMA8MRKQ)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class PiGDM(eqx.Module):
    """p(y | x) ≈ N(y; A D, s² + v A Aᵀ): D_y = D + (σ²/α) (∂D/∂x)ᵀ Aᵀ (s² + v A Aᵀ)⁻¹ (y − A D).

    v = c σ²/(c α² + σ²) is Cov[x0 | x] of white data of variance c (`variance`, 1 in model units), for which all is exact.
    Images are not white: where c says more than a pixel's neighbours leave open, the pull is too weak at first, and posterior
    samples too wide; along what neighbours share it is too strong, and shortened to where it explains the most of y. One
    network call and its gradient; the solve calls no network.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    variance: np.ndarray = eqx.field(converter=array_leaf, default=1.0)  # type: ignore[assignment]

    __repr__ = representation

    def __check_init__(self):
        if isinstance(self.variance, np.ndarray) and not (self.variance > 0).all():
            raise ValueError(
                f"got variance={self.variance}; expected a number above 0, the variance of a pixel; to fix: 1"
            )

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        lam = jnp.asarray(lam, x.dtype)
        near, variance = self.measurement.at(x0), self.variance.astype(x.dtype)
        a, s = alpha(lam), sigma(lam)
        (pulled,) = pull(near.proximal(white_variance(variance, lam)))
        # (σ²/α) / v of what `proximal` has v of, without the division of two small numbers
        return x0 + near.bounded((variance * a**2 + s**2) / (variance * a) * pulled)


def white_variance(variance, lam):
    """Cov[x0 | x] of x0 ~ N(m, variance I), a number."""
    return variance * sigma(lam) ** 2 / (variance * alpha(lam) ** 2 + sigma(lam) ** 2)
