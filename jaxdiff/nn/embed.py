"""Noise level and conditions -> one vector that every residual block reads, in float32 throughout."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdiff.nn.silu import silu

# Radians per unit of lam: the slowest is monotone over [-12, 12], the fastest (period 1.6) finer than denoisers vary.
SLOWEST, FASTEST = 1 / 16, 4.0
LARGEST_GUIDANCE = 3.0
"""Logarithm of the scale of guidance that is taken for 1."""
LATER = ("span", "guidance")
"""Parameters that add nothing before they are trained, so that a network may go on from one without them."""


def fourier(lam: Float[Array, ""], size: int) -> Float[Array, " size"]:
    """Sines and cosines of lam at `size // 2` geometric frequencies (Vaswani et al. 2017, arXiv:1706.03762, on λ)."""
    frequencies = jnp.geomspace(SLOWEST, FASTEST, size // 2, dtype=jnp.float32)
    angles = lam.astype(jnp.float32) * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def harmonics(value: Float[Array, ""], number: int = 4) -> Float[Array, " size"]:
    """sin and 1 − cos of π/2, π, 2π, … times a value of 0 to 1, all 0 at 0."""
    angles = value.astype(jnp.float32) * jnp.pi * 2.0 ** jnp.arange(-1, number - 1)
    return jnp.concatenate([jnp.sin(angles), 1.0 - jnp.cos(angles)])


def of_span(lam: Float[Array, ""], span: Float[Array, ""]) -> Float[Array, " size"]:
    """What is told of a step from t = σ/(α + σ) to t − span, all 0 at 0: its length, and its share of the way by σ/α.

    The length tells apart where large steps end, the share where small ones at the clean end do.
    """
    t, s = jax.nn.sigmoid(-lam), jax.nn.sigmoid(lam)
    return jnp.concatenate([harmonics(span), harmonics(span / (t * (s + span)))])


class Embedding(nn.Module):
    """MLP of λ and conditions; what is absent adds exactly nothing, so that null, missing and None agree.

    `label` is an int, negative = absent; `vector` is (d + 1,) with the presence flag last (its weights
    serve as the bias); `augmentation` is (a,), 0 = nothing done; `span` and `guidance` are numbers, 0 = none, whose weights
    start at zero: a network that did not read them goes on from its parameters as it is. A label beyond the last class gives
    NaN rather than another class.
    """

    size: int
    num_classes: int = 0
    vector_size: int = 0
    augmentation_size: int = 0
    reads_span: bool = False
    reads_guidance: bool = False
    features: int = 64

    @nn.compact
    def __call__(
        self,
        lam: Float[Array, ""],
        label: Int[Array, ""] | None = None,
        vector: Float[Array, " d"] | None = None,
        augmentation: Float[Array, " a"] | None = None,
        span: Float[Array, ""] | None = None,
        guidance: Float[Array, ""] | None = None,
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
        if self.reads_span:
            h = h + self._from_zero("span", of_span(lam, jnp.float32(0) if span is None else span))
        if self.reads_guidance:
            scale = jnp.log1p(jnp.float32(0) if guidance is None else guidance) / LARGEST_GUIDANCE
            h = h + self._from_zero("guidance", harmonics(scale))
        return silu(nn.Dense(self.size, name="out")(silu(h)))

    def _linear(self, name: str, value: Array | None, size: int) -> Array:
        value = jnp.zeros(size, jnp.float32) if value is None else value.astype(jnp.float32)
        return nn.Dense(self.size, use_bias=False, name=name)(value)

    def _from_zero(self, name: str, features: Array) -> Array:
        return nn.Dense(self.size, use_bias=False, kernel_init=nn.initializers.zeros, name=name)(features)
