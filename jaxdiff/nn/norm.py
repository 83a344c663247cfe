"""Group normalisation of one image that reads it once for its statistics, in float32, and once to apply them.

E[x²] − E[x]² cancels where the mean is large (NaN within 50 training steps). Both moments are therefore taken about a
shift near the mean, which changes neither mean nor variance: the average of some of the values themselves, for which the loss is at most
as many rounding errors as there are values to one that was taken (`SAMPLES`). Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115;
the norm: Wu and He 2018, arXiv:1803.08494.
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
    x: Float[Array, "*spatial channels"],
    scale: Float[Array, " channels"],
    shift: Float[Array, " channels"],
    epsilon: float = 1e-5,
    groups: int | None = None,
) -> Float[Array, "*spatial channels"]:
    """Normalise each group over space and its channels, then scale and shift a channel.

    groups: a divisor of the channels; default `groups_of(channels)`.
    """
    channels = x.shape[-1]
    groups = groups or groups_of(channels)
    flat = x.reshape(-1, channels).astype(jnp.float32)

    def over_group(per_channel):
        return jnp.repeat(per_channel.reshape(groups, -1).mean(axis=-1), channels // groups)

    about = jax.lax.stop_gradient(over_group(flat[0]))  # neither mean nor variance depends on it
    near = flat - about
    mean = over_group(near.mean(axis=0))
    variance = over_group(jnp.square(near).mean(axis=0)) - jnp.square(mean)
    inverse = jax.lax.rsqrt(jnp.maximum(variance, 0.0) + epsilon)
    y = (near - mean) * (inverse * scale) + shift
    return y.reshape(x.shape).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group norm with a learned scale and shift a channel; float32 inside, the input's dtype outside."""

    @nn.compact
    def __call__(self, x: Float[Array, "*spatial channels"]) -> Float[Array, "*spatial channels"]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        shift = self.param("shift", nn.initializers.zeros, (channels,), jnp.float32)
        return group_norm(x, scale, shift)


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift come from an embedding (Dhariwal and Nichol 2021, arXiv:2105.05233)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "*spatial channels"], embedding: Float[Array, " size"]
    ) -> Float[Array, "*spatial channels"]:
        scale, shift = Modulation(x.shape[-1], name="modulation")(embedding)
        return group_norm(x, 1.0 + scale, shift)


class Modulation(nn.Module):
    """Scale and shift of each channel, linear in an embedding.

    The bias is added to each half of the product: XLA's CPU backend does not vectorise what reads halves of a sum (a norm
    then took four times as long).
    """

    channels: int

    @nn.compact
    def __call__(self, embedding: Float[Array, " size"]) -> tuple[Array, Array]:
        shape = (embedding.shape[-1], 2 * self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (2 * self.channels,), jnp.float32)
        both, half = embedding @ kernel, self.channels
        return both[:half] + bias[:half], both[half:] + bias[half:]
