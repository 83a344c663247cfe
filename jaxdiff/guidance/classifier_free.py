"""Classifier-free guidance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.nn.condition import null as null_of
from jaxdiff.solvers.base import array_leaf


class ClassifierFree(eqx.Module):
    """D = D(null) + w (D(cond) − D(null)), both in one batched call; made by `classifier_free`."""

    denoise: Denoiser
    scale: np.ndarray = eqx.field(converter=array_leaf)
    null: PyTree
    interval: np.ndarray

    def __call__(self, x, lam, cond=None):
        if not jax.tree.leaves(cond):
            raise ValueError(
                "got classifier-free guidance without a condition; expected one for each image; to fix: pass cond, or "
                "sample from the unguided denoiser"
            )
        null = null_of(cond) if self.null is None else self.null
        both = jax.tree.map(lambda c, n: jnp.stack([jnp.asarray(c), jnp.asarray(n, jnp.asarray(c).dtype)]), cond, null)
        given, without = jax.vmap(lambda c: self.denoise(x, lam, c))(both)
        low, high = jnp.asarray(self.interval, x.dtype)
        inside = (jnp.asarray(lam) >= low) & (jnp.asarray(lam) <= high)
        return without + jnp.where(inside, jnp.asarray(self.scale, x.dtype), 1.0) * (given - without)


def classifier_free(
    denoise: Denoiser, scale: float = 2.0, null: PyTree = None, interval: tuple[float, float] | None = None
) -> ClassifierFree:
    """A guided denoiser: scale 1 leaves `denoise` as it is, 0 ignores the condition.

    null: the absent condition for one image, of the condition's structure; default: label −1, everything else zeros.
    interval: λ range where guidance acts (outside, scale 1); default everywhere. A new scale, null or interval is no new
    trace. Raises `ValueError` for an empty interval.
    Ho and Salimans 2022, arXiv 2207.12598; intervals: Kynkäänniemi et al. 2024, arXiv 2404.07724.
    """
    low, high = (-np.inf, np.inf) if interval is None else interval
    if not low < high:
        raise ValueError(f"got interval={interval}; expected (low, high) in λ with low < high")
    return ClassifierFree(denoise, scale, null, np.array([low, high], np.float64))
