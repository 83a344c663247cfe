"""Self-attention over all pixels of a level (Vaswani et al. 2017, arXiv:1706.03762)."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.norm import GroupNorm

Implementation = Literal["xla", "cudnn"]


class Products(nn.Module):
    """x times each of `parts` matrices, which are kept side by side as one parameter.

    Not one product that is cut: a TPU writes each part where its reader wants it, and copied the parts of a whole.
    """

    features: int
    parts: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "tokens width"]) -> list[Float[Array, "tokens features"]]:
        shape = (x.shape[-1], self.parts * self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        return [x @ part.astype(self.dtype) for part in jnp.split(kernel, self.parts, axis=-1)]


class SelfAttention(nn.Module):
    """Residual multi-head attention of as many heads of `head_size` as cover the channels; zero at initialisation.

    `implementation` goes to `jax.nn.dot_product_attention`: None and "xla" are plain XLA (logits in float32), "cudnn"
    is flash attention for bfloat16 on CUDA. Queries, keys and values have no bias: a key's has no effect at all.
    """

    head_size: int = 64
    dtype: jnp.dtype = jnp.float32
    implementation: Implementation | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*spatial channels"]) -> Float[Array, "*spatial channels"]:
        channels = x.shape[-1]
        heads = -(-channels // self.head_size)
        h = GroupNorm(name="norm")(x)[0].reshape(-1, channels)
        products = Products(heads * self.head_size, 3, self.dtype, name="qkv")(h.astype(self.dtype))
        q, k, v = (part.reshape(-1, heads, self.head_size) for part in products)
        h = jax.nn.dot_product_attention(q, k, v, implementation=self.implementation).reshape(len(h), -1)
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="out")(h)
        return x + h.reshape(x.shape)
