"""The parts of diffusers' `UNet2DModel` for one image, channels last; names of parameters as in its state dict.

Differences in the arithmetic, none in the result: one matrix for queries, keys and values; the scale and shift that the
time embedding asks for are folded into the norm's own.
"""

import math
from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.attention import Implementation
from jaxdiff.nn.lanes import nearest
from jaxdiff.nn.norm import Modulation, group_norm
from jaxdiff.nn.silu import silu


class Norm(nn.Module):
    """Group norm of a fixed number of groups, whose scale and shift may be modulated."""

    groups: int
    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "h w channels"], modulation: Sequence[Array] | None = None):
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        shift = self.param("shift", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        if modulation is not None:
            more_scale, more_shift = modulation
            scale, shift = scale * (1 + more_scale), shift * (1 + more_scale) + more_shift
        return group_norm([x], scale, shift, self.epsilon, self.groups)[0]


class Resnet(nn.Module):
    """`ResnetBlock2D`: norm, SiLU, (resample,) conv, time embedding, norm, SiLU, dropout, conv, sum."""

    channels: int
    groups: int
    epsilon: float
    scale_shift: bool
    dropout: float
    dtype: jnp.dtype
    resample: Literal["up", "down"] | None = None
    divide: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "h w c"], embedding: Float[Array, " size"], train: bool = False):
        move = {"up": nearest, "down": lambda x: nn.avg_pool(x, (2, 2), (2, 2)), None: lambda x: x}[self.resample]
        h = move(silu(Norm(self.groups, self.epsilon, name="norm1")(x)))
        h = nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv1")(h)
        norm2 = Norm(self.groups, self.epsilon, name="norm2")
        if self.scale_shift:
            h = norm2(h, Modulation(self.channels, name="time_emb_proj")(embedding))
        else:
            time = nn.Dense(self.channels, name="time_emb_proj")(embedding)
            h = norm2(h + time.astype(h.dtype))
        h = nn.Dropout(self.dropout, deterministic=not train)(silu(h))
        h = nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv2")(h)
        x = move(x)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, dtype=self.dtype, name="conv_shortcut")(x)
        return (x + h) / self.divide


class Attention(nn.Module):
    """Residual self-attention over all pixels; heads of `head_size`, as many as fit; no norm where `groups` is None."""

    head_size: int
    groups: int | None
    epsilon: float
    dtype: jnp.dtype
    implementation: Implementation | None
    divide: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        channels = x.shape[-1]
        heads = channels // self.head_size
        h = x if self.groups is None else Norm(self.groups, self.epsilon, name="group_norm")(x)
        qkv = nn.Dense(3 * heads * self.head_size, dtype=self.dtype, name="to_qkv")(h.reshape(-1, channels))
        q, k, v = (part.reshape(-1, heads, self.head_size) for part in jnp.split(qkv, 3, axis=-1))
        h = jax.nn.dot_product_attention(q, k, v, implementation=self.implementation).reshape(len(q), -1)
        h = nn.Dense(channels, dtype=self.dtype, name="to_out_0")(h)
        return (x + h.reshape(x.shape)) / self.divide


def timestep_embedding(
    timestep: Float[Array, ""], size: int, flip_sin_to_cos: bool, freq_shift: float
) -> Float[Array, " size"]:
    """Sines and cosines of the time label; `flip_sin_to_cos` puts the cosines first. An odd size ends with 0."""
    half = size // 2
    frequencies = jnp.exp(-math.log(10000.0) / (half - freq_shift) * jnp.arange(half, dtype=jnp.float32))
    angles = timestep.astype(jnp.float32) * frequencies
    parts = [jnp.sin(angles), jnp.cos(angles)]
    return jnp.concatenate([*(parts[::-1] if flip_sin_to_cos else parts), *([angles[:1] * 0] * (size % 2))], axis=-1)
