"""The transformer's block: attention and a gated MLP, each behind an adaptive RMS norm and a gate that starts at zero.

adaLN-zero: Peebles and Xie 2023 (arXiv:2212.09748). RMS norm: Zhang and Sennrich 2019 (arXiv:1910.07467). Norm of queries
and keys: Henry et al. 2020 (arXiv:2010.04245), as Dehghani et al. 2023 (arXiv:2302.05442) scale it. SwiGLU: Shazeer 2020
(arXiv:2002.05202). No layer has a bias, since what is added behind each norm is one. Li and He 2025 (arXiv:2511.13720) put
the same together for pixels. Layers are those of one image (`nn.single`), its tokens in a row.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.attention import Implementation
from jaxdiff.nn.contract import POLICIES
from jaxdiff.nn.norm import Modulation
from jaxdiff.nn.rotary import partners
from jaxdiff.nn.silu import silu
from jaxdiff.nn.widths import LANES

EPSILON = 1e-6
LARGEST = 60.0
"""Logit; exponentials of it and of its negative, and sums of any number of them, are far within float32."""


def hidden_size(width: int) -> int:
    """Of the MLP: 8/3 of the width, which makes three matrices as large as two of 4 times it, in whole lanes."""
    return LANES * max(1, round(8 * width / 3 / LANES))


def rms_norm(x: Float[Array, "*any channels"]) -> Float[Array, "*any channels"]:
    """x over the root of the mean of its squares along the channels, in float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


class NormedTurned(nn.Module):
    """RMS norm of each head's queries or keys, a learned scale a channel, and their rotary positions; also their length
    at most.

    The norm is a factor of what is turned, so that channels change places before it and are read once.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "tokens heads size"], positions: Any
    ) -> tuple[Float[Array, "tokens heads size"], Float[Array, ""]]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        cosine, sine = positions
        other = partners(x).astype(jnp.float32)
        x = x.astype(jnp.float32)
        norm = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)
        turned = (norm * (x * (scale * cosine) + other * (partners(scale) * sine))).astype(self.dtype)
        return turned, jnp.sqrt(float(len(scale))) * jnp.max(jnp.abs(scale))


def unshifted_attention(
    q: Float[Array, "tokens heads size"],
    k: Float[Array, "tokens heads size"],
    v: Float[Array, "tokens heads size"],
    down: Float[Array, ""] | float = 1.0,
) -> Float[Array, "tokens heads size"]:
    """softmax(down · q · k / sqrt(size)) v, for logits of `LARGEST` at most; exponentials and their sums in float32.

    No maximum is taken from the logits before their exponentials, which fit float32 as they are. So the logits need not wait
    for the last of their row, and are never written: what goes to memory are exponentials in v's type.
    """
    logits = jnp.einsum("tnh,snh->nts", q, k, preferred_element_type=jnp.float32) * (down / q.shape[-1] ** 0.5)
    weights = jnp.exp(logits).astype(v.dtype)
    sums = jnp.sum(weights, axis=-1, dtype=jnp.float32).T
    h = jnp.einsum("nts,snh->tnh", weights, v, preferred_element_type=jnp.float32)
    return (h / sums[:, :, None]).astype(v.dtype)


class Attention(nn.Module):
    """Attention over all tokens with rotary positions, heads of `head_size`, of queries and keys that are normed before.

    Their norms bound the logits. Where learned scales would allow more than `LARGEST`, all are scaled down to it, as Liu et
    al. 2022 (arXiv:2111.09883) bound the scale of their cosines. Queries, keys and values are three products and not one that
    is cut: a TPU writes each where its reader wants it.
    """

    head_size: int
    dtype: Any = jnp.float32
    implementation: Implementation | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "tokens width"], positions: Any) -> Float[Array, "tokens width"]:
        width = x.shape[-1]
        product = functools.partial(nn.Dense, width, use_bias=False, dtype=self.dtype)
        q, k, v = (product(name=name)(x).reshape(len(x), -1, self.head_size) for name in ("query", "key", "value"))
        q, longest_q = NormedTurned(self.dtype, name="norm_q")(q, positions)
        k, longest_k = NormedTurned(self.dtype, name="norm_k")(k, positions)
        most = longest_q * longest_k / self.head_size**0.5
        down = jnp.minimum(1.0, LARGEST / most)
        if self.implementation == "cudnn":
            h = jax.nn.dot_product_attention(q * down.astype(self.dtype), k, v, implementation="cudnn")
        else:
            h = unshifted_attention(q, k, v, down)
        return product(name="out")(h.reshape(x.shape))


class GatedMLP(nn.Module):
    """silu(x A) * (x B), times C."""

    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "tokens width"], train: bool = False) -> Float[Array, "tokens width"]:
        hidden = hidden_size(x.shape[-1])
        gate, value = (nn.Dense(hidden, use_bias=False, dtype=self.dtype, name=name)(x) for name in ("gate", "value"))
        h = nn.Dropout(self.dropout, deterministic=not train)(silu(gate) * value)
        return nn.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="down")(h)


class TransformerBlock(nn.Module):
    """x + gate · attention(norm(x)), then x + gate · MLP(norm(x)); the identity at initialisation.

    Shift and scale of both norms and both gates are linear in the embedding.
    """

    head_size: int
    dropout: float = 0.0
    dtype: Any = jnp.float32
    implementation: Implementation | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "tokens width"], embedding: Float[Array, " size"], positions: Any, train: bool = False
    ) -> Float[Array, "tokens width"]:
        modulation = Modulation(x.shape[-1], 6, nn.initializers.zeros, name="modulation")
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation(embedding)
        attention = Attention(self.head_size, self.dtype, self.implementation, name="attention")
        mlp = GatedMLP(self.dropout, self.dtype, name="mlp")
        drop = nn.Dropout(self.dropout, deterministic=not train)
        h = attention((rms_norm(x) * (1 + scale1) + shift1).astype(self.dtype), positions)
        x = x + (gate1 * drop(h)).astype(self.dtype)
        h = mlp((rms_norm(x) * (1 + scale2) + shift2).astype(self.dtype), train)
        return x + (gate2 * h).astype(self.dtype)


def transformer_block(network: Any) -> Callable[..., TransformerBlock]:
    """The block as a network's fields ask for it, a function of its name."""
    block = TransformerBlock
    if network.remat != "none":
        block = nn.remat(TransformerBlock, static_argnums=(4,), policy=POLICIES[network.remat])
    fields = (network.head_size, network.dropout, jnp.dtype(network.dtype), network.attention_implementation)
    return functools.partial(block, *fields)
