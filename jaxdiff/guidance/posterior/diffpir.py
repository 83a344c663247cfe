"""DiffPIR: a proximal step on the data in place of a gradient through the network (Zhu et al. 2023, arXiv 2305.08995)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class DiffPIR(eqx.Module):
    """D_y = argmin_z |y − A z|²/(2 s²) + ζ |z − D|² α²/(2 σ²) = D + v Aᵀ (s² + v A Aᵀ)⁻¹ (y − A D),   v = σ²/(ζ α²).

    scale: ζ. v is the spread of x0 given x without any prior, so that the data count for more than they should while there is
    much noise; with v = Cov[x0 | x] of white data it is ΠGDM on them, without the gradient. One network call.

    v is one number for all pixels: what a value says of pixels that A does not see in it, by their correlation with those
    that it sees, is left to the next call. Under a mask or between slices no ζ mends that, and samples of smooth images
    are too wide and off (docs/posterior.md); blur and binning, which look at every pixel, are what it is for. The data
    step is implicit: A D_y lies between A D and y for every s, λ and A.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    scale: np.ndarray = eqx.field(converter=array_leaf, default=1.0)  # type: ignore[assignment]

    __repr__ = representation

    def __call__(self, x, lam, cond=None):
        x0 = self.denoise(x, lam, cond)
        near = self.measurement.at(x0)
        v = jnp.exp(-2 * jnp.asarray(lam, x.dtype)) / self.scale.astype(x.dtype)
        return x0 + near.bounded(near.proximal(v))
