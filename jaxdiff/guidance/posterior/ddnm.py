"""DDNM: the range of A from the data, its null space from the denoiser (Wang et al. 2023, arXiv 2212.00490)."""

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement


class DDNM(eqx.Module):
    """D_y = D + w A⁺ (y − A D),   w = min(1, σ/(α s)): without noise A D_y = y exactly.

    w is the paper's DDNM+ for operators whose singular values are 1: data noisier than x, w < 1, are trusted less. Needs
    an operator with a pseudo-inverse (`Mask`, `Slices`, `Bin`, periodic `Convolution`), which for a blur amplifies noise. One
    network call.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement

    def __call__(self, x, lam, cond=None):
        x0 = self.denoise(x, lam, cond)
        return self.measurement.corrected(x0, jnp.exp(-jnp.asarray(lam, x.dtype)))
