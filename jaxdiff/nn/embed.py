"""Noise level and conditions -> one vector that every residual block reads, in float32 throughout."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdiff.nn.silu import silu

# Radians per unit of lam: the slowest is monotone over [-12, 12], the fastest (period 1.6) finer than denoisers vary.
SLOWEST, FASTEST = 1 / 16, 4.0


def fourier(lam: Float[Array, ""], size: int) -> Float[Array, " size"]:
    """Sines and cosines of lam at `size // 2` geometric frequencies (Vaswani et al. 2017, arXiv:1706.03762, on λ)."""
    frequencies = jnp.geomspace(SLOWEST, FASTEST, size // 2, dtype=jnp.float32)
    angles = lam.astype(jnp.float32) * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Embedding(nn.Module):
    """MLP of (lam, label, vector, augmentation); what is absent adds exactly nothing, so that null, missing and None agree.

    `label` is an int, negative = absent; `vector` is (d + 1,) with the presence flag last (its weights
    serve as the bias); `augmentation` is (a,), 0 = nothing done. A label beyond the last class gives NaN rather than
    another class.
    """

    size: int
    num_classes: int = 0
    vector_size: int = 0
    augmentation_size: int = 0
    features: int = 64

    @nn.compact
    def __call__(
        self,
        lam: Float[Array, ""],
        label: Int[Array, ""] | None = None,
        vector: Float[Array, " d"] | None = None,
        augmentation: Float[Array, " a"] | None = None,
    ) -> Float[Array, " size"]:
        h = nn.Dense(self.size, name="lam")(fourier(lam, self.features))
        if self.num_classes:
            table = self.param("label", nn.initializers.normal(1.0), (self.num_classes, self.size), jnp.float32)
            if label is not None:
                row = jnp.take(table, jnp.maximum(label, 0), axis=0, mode="fill", fill_value=jnp.nan)
                h = h + jnp.where(label >= 0, row, 0.0)
        if self.vector_size:
            h = h + self._linear("vector", vector, self.vector_size + 1)
        if self.augmentation_size:
            h = h + self._linear("augmentation", augmentation, self.augmentation_size)
        return silu(nn.Dense(self.size, name="out")(silu(h)))

    def _linear(self, name: str, value: Array | None, size: int) -> Array:
        value = jnp.zeros(size, jnp.float32) if value is None else value.astype(jnp.float32)
        return nn.Dense(self.size, use_bias=False, name=name)(value)
