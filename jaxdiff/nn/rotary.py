"""Rotary positions: what attention sees of two places is how far apart they are, along each axis.

Su et al. 2021 (arXiv:2104.09864), with the channels of a head shared out among the axes of an image (axial), and Heo et al.
2024's base of 100 for images (arXiv:2403.13298), which have fewer places along an axis than a text. Nothing is learned, and
so other sizes than those of training have positions too.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BASE = 100.0


def angles(grid: Sequence[int], half: int) -> np.ndarray:
    """(places, half): by how much each pair of channels is turned, in radians; places in row-major order.

    Each axis has half // rank pairs, of frequencies 1 down to 1 / BASE; the pairs that are left over stand still.
    """
    each = half // len(grid)
    frequencies = BASE ** -(np.arange(each) / max(each, 1))
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, len(grid))
    turned = (places[:, :, None] * frequencies).reshape(len(places), -1)
    return np.pad(turned, ((0, 0), (0, half - turned.shape[-1])))


def turns(grid: Sequence[int], half: int) -> tuple[Float[Array, "places 1 size"], Float[Array, "places 1 size"]]:
    """Cosines and signed sines of `angles`, from float64, for all heads: factors of a channel and of its partner."""
    turned = angles(grid, half)[:, None]
    cosine, sine = np.cos(turned), np.sin(turned)
    cosines, sines = np.concatenate([cosine, cosine], axis=-1), np.concatenate([-sine, sine], axis=-1)
    return jnp.asarray(cosines, jnp.float32), jnp.asarray(sines, jnp.float32)


def partners(x: Float[Array, "*any size"]) -> Float[Array, "*any size"]:
    """Channels i and i + half in each other's place, exactly.

    On a TPU by a matrix of zeros and ones: moves across lanes took as long there as the attention itself.
    """
    size = x.shape[-1]
    swap = np.roll(np.eye(size), size // 2, axis=0)
    precision = "highest" if x.dtype == jnp.float32 else None  # 16 bits are exact in one pass, and six were made
    return jax.lax.platform_dependent(
        x,
        tpu=lambda x: jnp.matmul(x, jnp.asarray(swap, x.dtype), precision=precision),
        default=lambda x: jnp.roll(x, size // 2, axis=-1),
    )
