"""A denoiser of planes as the denoiser of a volume: the mean of D over all planes through a voxel."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxdiff.denoiser import Denoiser
from jaxdiff.representation import representation


class Planes(eqx.Module):
    """D of a volume (Z, Y, X, C) of equal voxels from D of planes: the mean over the planes across each of `across`.

    across: axes 0, 1, 2; (0, 1, 2) makes every section look like a plane. All planes across one axis are one batch of
    the network, so that memory grows with the volume: windows go around it.
    Lee et al. 2023, "Improving 3D imaging with pre-trained perpendicular 2D diffusion models", arXiv 2303.08440, where steps
    take turns between axes; the mean takes none.
    """

    denoise: Denoiser
    across: tuple[int, ...] = eqx.field(static=True, default=(0, 1, 2))

    __repr__ = representation

    def __check_init__(self):
        if not self.across or not set(self.across) <= {0, 1, 2} or len(set(self.across)) < len(self.across):
            raise ValueError(f"got across={self.across}; expected some of 0, 1 and 2, each once; to fix: (0, 1, 2)")

    def __call__(self, x, lam, cond=None):
        if x.ndim != 4:
            raise ValueError(f"got x of shape {x.shape}; expected a volume (Z, Y, X, C)")
        one = jax.vmap(lambda plane: self.denoise(plane, lam, cond))
        parts = [jnp.moveaxis(one(jnp.moveaxis(x, axis, 0)), 0, axis) for axis in self.across]
        return sum(parts[1:], parts[0]) / len(parts)
