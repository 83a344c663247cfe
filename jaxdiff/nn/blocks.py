"""The UNet's residual block, and moves between resolutions that are reshapes around a matrix product."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.conv import Conv
from jaxdiff.nn.norm import AdaptiveGroupNorm, GroupNorm
from jaxdiff.nn.silu import silu


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, adaptive norm of the embedding, SiLU, dropout, conv; the identity at initialisation.

    He et al. 2016 (arXiv:1603.05027), with the modulation of Dhariwal and Nichol 2021 (arXiv:2105.05233). The first
    convolution has no bias, since the norm behind it takes most of it out again.
    """

    channels: int
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*spatial channels"], embedding: Float[Array, " size"], train: bool = False
    ) -> Float[Array, "*spatial out"]:
        kernel = (3,) * (x.ndim - 1)
        h = silu(GroupNorm(name="norm1")(x))
        h = Conv(self.channels, kernel, use_bias=False, dtype=self.dtype, name="conv1")(h)
        h = silu(AdaptiveGroupNorm(name="norm2")(h, embedding))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = Conv(self.channels, kernel, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="conv2")(h)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, use_bias=False, dtype=self.dtype, name="shortcut")(x)
        return x + h


def space_to_depth(x: Float[Array, "*spatial channels"], size: int) -> Float[Array, "*coarse more"]:
    """Blocks of size^rank pixels become channels. Raises ValueError where a spatial size is not a multiple."""
    *spatial, channels = x.shape
    if any(s % size for s in spatial):
        raise ValueError(f"got spatial shape {tuple(spatial)}; expected multiples of {size}; to fix: pad the image")
    rank = len(spatial)
    x = x.reshape(*(n for s in spatial for n in (s // size, size)), channels)
    x = x.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), 2 * rank)
    return x.reshape(*(s // size for s in spatial), size**rank * channels)


def depth_to_space(x: Float[Array, "*coarse more"], size: int) -> Float[Array, "*spatial channels"]:
    """The inverse of `space_to_depth`. Raises ValueError where the channels are not a multiple of size^rank."""
    *spatial, channels = x.shape
    rank = len(spatial)
    if channels % size**rank:
        raise ValueError(f"got {channels} channels; expected a multiple of {size**rank}; to fix: check the patch size")
    x = x.reshape(*spatial, *(size,) * rank, channels // size**rank)
    x = x.transpose(*(axis for i in range(rank) for axis in (i, i + rank)), 2 * rank)
    return x.reshape(*(s * size for s in spatial), channels // size**rank)


def nearest(x: Float[Array, "*spatial channels"]) -> Float[Array, "*fine channels"]:
    """Each pixel twice along every spatial axis."""
    *spatial, channels = x.shape
    x = jnp.expand_dims(x, tuple(range(1, 2 * len(spatial), 2)))
    x = jnp.broadcast_to(x, (*(n for s in spatial for n in (s, 2)), channels))
    return x.reshape(*(2 * s for s in spatial), channels)


class Down(nn.Module):
    """Half the resolution: a convolution of kernel 2 and stride 2, as one matrix product forwards and backwards."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*spatial channels"]) -> Float[Array, "*coarse out"]:
        return nn.Dense(self.channels, dtype=self.dtype, name="dense")(space_to_depth(x, 2))


class Up(nn.Module):
    """Twice the resolution: nearest neighbours of a matrix product at the low resolution (no checkerboard)."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*coarse channels"]) -> Float[Array, "*spatial out"]:
        return nearest(nn.Dense(self.channels, dtype=self.dtype, name="dense")(x))


def pad_to_multiple(
    x: Float[Array, "*spatial channels"], multiple: int
) -> tuple[Float[Array, "*padded channels"], tuple[slice, ...]]:
    """Mirror the image out to multiples of `multiple` on both sides; also returns the slices that crop it back.

    Mirrored noise still looks like noise, where zeros or repeated edges are a pattern never seen inside an image. An
    axis shorter than its padding is mirrored again and again; an axis of one pixel is repeated.
    """
    widths, crop = [], []
    for size in x.shape[:-1]:
        extra = math.ceil(size / multiple) * multiple - size
        widths.append((extra // 2, extra - extra // 2))
        crop.append(slice(extra // 2, extra // 2 + size))
    widths.append((0, 0))
    if any(before or after for before, after in widths):
        x = jnp.pad(x, widths, mode="reflect")
    return x, tuple(crop)
