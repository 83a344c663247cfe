"""The UNet's residual block, and moves between resolutions."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn import lanes
from jaxdiff.nn.conv import Conv
from jaxdiff.nn.norm import AdaptiveGroupNorm, GroupNorm
from jaxdiff.nn.silu import silu


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, adaptive norm of the embedding, SiLU, dropout, conv; the identity at initialisation.

    He et al. 2016 (arXiv:1603.05027), with the modulation of Dhariwal and Nichol 2021 (arXiv:2105.05233). The first
    convolution has no bias, since the norm behind it takes most of it out again. The channels of the input may come in
    several arrays: what comes from below and the skip connection.
    """

    channels: int
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, parts: Sequence[Float[Array, "*spatial _"]], embedding: Float[Array, " size"], train: bool = False
    ) -> Float[Array, "*spatial out"]:
        window = (3,) * (parts[0].ndim - 1)
        h = [silu(part) for part in GroupNorm(name="norm1")(*parts)]
        h = Conv(self.channels, window, use_bias=False, dtype=self.dtype, name="conv1")(*h)
        h = silu(AdaptiveGroupNorm(name="norm2")(h, embedding))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = Conv(self.channels, window, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="conv2")(h)
        if sum(part.shape[-1] for part in parts) == self.channels:
            return parts[0] + h
        return Conv(self.channels, (), use_bias=False, dtype=self.dtype, name="shortcut")(*parts) + h


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


class Down(nn.Module):
    """Half the resolution: a convolution of kernel 2 and stride 2."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*spatial channels"]) -> Float[Array, "*coarse out"]:
        window = (2,) * (x.ndim - 1)
        kernel, bias = Matrix(math.prod(window) * x.shape[-1], self.channels, self.dtype, name="dense")()
        return lanes.halved(x.astype(self.dtype), kernel.reshape(*window, x.shape[-1], self.channels)) + bias


class Up(nn.Module):
    """Twice the resolution: nearest neighbours of a matrix product at the low resolution (no checkerboard)."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*coarse channels"]) -> Float[Array, "*spatial out"]:
        kernel, bias = Matrix(x.shape[-1], self.channels, self.dtype, name="dense")()
        return lanes.doubled(x.astype(self.dtype), kernel, bias)


class Matrix(nn.Module):
    """The parameters of a linear map, kernel (rows, columns) and bias, in the type that it is computed in.

    That of `Down` is of the channels of `space_to_depth`.
    """

    rows: int
    columns: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "rows columns"], Float[Array, " columns"]]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.rows, self.columns), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.columns,), jnp.float32)
        return kernel.astype(self.dtype), bias.astype(self.dtype)


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
