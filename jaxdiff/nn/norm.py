"""Group normalisation with float32 statistics, reduced over space first and over the group second.

flax's GroupNorm reduces (space, channels of a group) at once, which XLA's CPU backend does several times slower; and
E[x²] − E[x]² cancels for a large mean (NaN within 50 training steps), so the variance is taken of centred values.
Source: Wu and He 2018, arXiv:1803.08494.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MAX_GROUPS = 32
MIN_SIZE = 4  # in a group of one channel, every bias before the norm would be a parameter without gradient


def groups_of(channels: int) -> int:
    """The largest divisor of `channels` up to 32 that leaves at least 4 channels a group; 1 if there is none."""
    most = max(1, min(MAX_GROUPS, channels // MIN_SIZE))
    return next(g for g in range(most, 0, -1) if channels % g == 0)


def group_norm(
    x: Float[Array, "batch *spatial channels"],
    scale: Float[Array, "#batch channels"],
    shift: Float[Array, "#batch channels"],
    epsilon: float = 1e-5,
    groups: int | None = None,
) -> Float[Array, "batch *spatial channels"]:
    """Normalise each group over space and its channels, then scale and shift a channel (or an example and channel).

    groups: a divisor of the channels; default `groups_of(channels)`.
    """
    batch, *_, channels = x.shape
    groups = groups or groups_of(channels)
    flat = x.astype(jnp.float32).reshape(batch, -1, channels)
    scale, shift = (jnp.broadcast_to(v, (batch, channels)) for v in (scale, shift))

    def one(flat, scale, shift):
        def over_group(per_channel):
            return jnp.repeat(per_channel.reshape(groups, -1).mean(axis=-1), channels // groups)

        centred = flat - over_group(flat.mean(axis=0))
        inverse = jax.lax.rsqrt(over_group(jnp.square(centred).mean(axis=0)) + epsilon)
        return centred * (inverse * scale) + shift

    # Inside a vmap a batch of one would be an axis of length 1, over which XLA's CPU backend reduces ten times slower.
    y = one(flat[0], scale[0], shift[0]) if batch == 1 else jax.vmap(one)(flat, scale, shift)
    return y.reshape(x.shape).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group norm with a learned scale and shift a channel; float32 inside, the input's dtype outside."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch *spatial channels"]) -> Float[Array, "batch *spatial channels"]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        shift = self.param("shift", nn.initializers.zeros, (channels,), jnp.float32)
        return group_norm(x, scale[None], shift[None])


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift come from an embedding (Dhariwal and Nichol 2021, arXiv:2105.05233)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *spatial channels"], embedding: Float[Array, "batch size"]
    ) -> Float[Array, "batch *spatial channels"]:
        scale, shift = Modulation(x.shape[-1], name="modulation")(embedding)
        return group_norm(x, 1.0 + scale, shift)


class Modulation(nn.Module):
    """Scale and shift of each channel, linear in an embedding.

    The bias is added to each half of the product: XLA's CPU backend does not vectorise what reads halves of a sum (a norm
    then took four times as long).
    """

    channels: int

    @nn.compact
    def __call__(self, embedding: Float[Array, "batch size"]) -> tuple[Array, Array]:
        shape = (embedding.shape[-1], 2 * self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (2 * self.channels,), jnp.float32)
        both, half = embedding @ kernel, self.channels
        return both[:, :half] + bias[:half], both[:, half:] + bias[half:]
