"""The weighting of the denoising error of classes that training has not (`jaxdiff.training.weighting` holds the others)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float


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
