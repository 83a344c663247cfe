"""DDNM: the range of A from the data, its null space from the denoiser (Wang et al. 2023, arXiv 2212.00490)."""

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.representation import representation


class DDNM(eqx.Module):
    """D_y = D + A⁺ (y − A D), each 1/a of A⁺, a a singular value of A, at most σ/(α s): without noise A D_y = y exactly.

    The bound is the paper's DDNM+: data noisier than x are trusted less, and a blur's noise is amplified no more than to
    that of x. Without noise, or where it is said to be less than it is, a blur amplifies it. Needs an operator with a
    pseudo-inverse (`Mask`, `Slices`, `Bin`, periodic `Convolution`). One network call.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement

    __repr__ = representation

    def __call__(self, x, lam, cond=None):
        x0 = self.denoise(x, lam, cond)
        return self.measurement.corrected(x0, jnp.exp(-jnp.asarray(lam, x.dtype)))
