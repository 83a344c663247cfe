"""Weightings of the denoising error of classes, beside those of training (`jaxdiff.training.weighting`)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.process.gaussian import alpha


@dataclass(frozen=True)
class Likelihood:
    """w = 1 per unit of lam: differences are log-likelihood ratios of the image as it is, (2).

    Its finest texture, which no label is about, then counts as much as all else. The error itself, without a difference,
    has heavy weights at the clean end under lams that are uniform in the schedule's time; draw them uniformly in lam there:
    `Stratified(VarianceExploding(...))`.
    """

    per: ClassVar[Literal["lam", "draw"]] = "lam"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.ones_like(lam)


@dataclass(frozen=True)
class Velocity:
    """w = 1/α² for every draw: the plain error of v = α ε − σ x0, as v-prediction is trained by."""

    per: ClassVar[Literal["lam", "draw"]] = "draw"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return 1 / alpha(lam) ** 2
