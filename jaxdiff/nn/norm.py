"""Group normalisation of one image, with statistics in float32 that read it once.

The variance is E[(x − c)²] − E[x − c]², right for any c, with all digits where c is near the mean; c = 0 loses them where the
mean is large (in float32 NaN within 50 training steps). In float32 c is what one pixel has, which of n values is at most √n
standard deviations from their mean. In 16 bits c is 0, so that a TPU's compiler takes the sums while a convolution hands out
its result, and the variance is held above that of x's own rounding, (2⁻⁹ mean)². Chan, Golub and LeVeque 1983,
doi:10.1080/00031305.1983.10483115; the norm: Wu and He 2018, arXiv:1803.08494.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

MAX_GROUPS = 32
MIN_SIZE = 4  # in a group of one channel, every bias before the norm would be a parameter without gradient


def groups_of(channels: int) -> int:
    """The largest divisor of `channels` up to 32 that leaves at least 4 channels a group; 1 if there is none."""
    most = max(1, min(MAX_GROUPS, channels // MIN_SIZE))
    return next(g for g in range(most, 0, -1) if channels % g == 0)


def group_norm(
    parts: Sequence[Float[Array, "*spatial _"]],
    scale: Float[Array, " channels"],
    shift: Float[Array, " channels"],
    epsilon: float = 1e-5,
    groups: int | None = None,
    dtype: Any = None,
) -> list[Float[Array, "*spatial _"]]:
    """Normalise each group over space and its channels, then scale and shift a channel.

    Args:
        parts: an image, its channels in one or several arrays (a skip connection beside), never put into one.
        scale: of each channel.
        shift: likewise.
        epsilon: added to the variance.
        groups: a divisor of the channels; default `groups_of(channels)`.
        dtype: of the result; default that of each part.

    Returns:
        The parts.
    """
    sizes = [part.shape[-1] for part in parts]
    groups = groups or groups_of(sum(sizes))
    space = tuple(range(parts[0].ndim - 1))
    few = any(jnp.finfo(part.dtype).bits < 32 for part in parts)

    def over_group(per_channel: Sequence[Array]) -> Array:
        joined = jnp.concatenate(per_channel)
        return jnp.repeat(joined.reshape(groups, -1).mean(axis=-1), len(joined) // groups)

    def of_parts(per_channel: Array) -> list[Array]:
        return jnp.split(per_channel, np.cumsum(sizes)[:-1])

    if few:
        values = [part.astype(jnp.float32) for part in parts]
    else:
        corner = over_group([part[(0,) * len(space)] for part in parts])
        values = [part - c for part, c in zip(parts, of_parts(jax.lax.stop_gradient(corner)))]
    mean = over_group([value.mean(axis=space) for value in values])
    variance = over_group([jnp.square(value).mean(axis=space) for value in values]) - jnp.square(mean)
    least = jnp.square(mean * 2**-9) if few else 0.0
    factor = jax.lax.rsqrt(jnp.maximum(variance, least) + epsilon) * scale
    rows = zip(parts, values, of_parts(mean), of_parts(factor), of_parts(shift), strict=True)
    return [((value - m) * f + s).astype(dtype or part.dtype) for part, value, m, f, s in rows]


class GroupNorm(nn.Module):
    """Group norm with a learned scale and shift a channel; float32 inside, outside `dtype` (None: the input's)."""

    dtype: Any = None

    @nn.compact
    def __call__(self, *parts: Float[Array, "*spatial _"]) -> list[Float[Array, "*spatial _"]]:
        channels = sum(part.shape[-1] for part in parts)
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        shift = self.param("shift", nn.initializers.zeros, (channels,), jnp.float32)
        return group_norm(parts, scale, shift, dtype=self.dtype)


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift come from an embedding (Dhariwal and Nichol 2021, arXiv:2105.05233)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "*spatial channels"], embedding: Float[Array, " size"]
    ) -> Float[Array, "*spatial channels"]:
        scale, shift = Modulation(x.shape[-1], name="modulation")(embedding)
        return group_norm([x], 1.0 + scale, shift)[0]


class Modulation(nn.Module):
    """Scale and shift of each channel, or `parts` such vectors, linear in an embedding.

    The bias is added to each part of the product: XLA's CPU backend does not vectorise what reads halves of a sum (a norm
    then took four times as long).
    """

    channels: int
    parts: int = 2
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, embedding: Float[Array, " size"]) -> list[Float[Array, " channels"]]:
        size = self.parts * self.channels
        kernel = self.param("kernel", self.kernel_init, (embedding.shape[-1], size), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (size,), jnp.float32)
        products, biases = jnp.split(embedding @ kernel, self.parts), jnp.split(bias, self.parts)
        return [product + own for product, own in zip(products, biases)]
