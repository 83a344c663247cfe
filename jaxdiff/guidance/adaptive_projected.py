"""Adaptive projected guidance (APG): classifier-free guidance at large scales without over-saturation."""

import jax.numpy as jnp
from jaxtyping import PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.classifier_free import both
from jaxdiff.guidance.remembering import Remembering


class AdaptiveProjected(Remembering):
    """D = D(cond) + (w − 1) (Δ⊥ + η Δ∥), Δ = m min(1, r/|m|), m = D(cond) − D(null) + β m of the call before.

    Δ∥ is the part of Δ along D(cond), the image as a vector: it raises contrast and saturation. Made by `adaptive_projected`.
    """

    denoise: Denoiser
    scale: float
    null: PyTree
    parallel: float
    threshold: float
    momentum: float

    def memory(self, x):
        return jnp.zeros_like(x)

    def update(self, x, lam, cond, memory, step):
        scale, parallel, threshold, momentum = (
            jnp.asarray(number, x.dtype) for number in (self.scale, self.parallel, self.threshold, self.momentum)
        )
        conditional, unconditional = both(self.denoise, x, lam, cond, self.null)
        memory = conditional - unconditional + momentum * memory
        length = _length(memory)
        long = length > threshold
        # Both sides of the fraction, since a gradient goes through the one that is not chosen, too, and r may be infinite.
        change = memory * jnp.where(long, jnp.where(long, threshold, 1) / jnp.where(long, length, 1), 1)
        unit = conditional / _length(conditional)
        along = jnp.sum(change * unit) * unit
        return conditional + (scale - 1) * (change - along + parallel * along), memory


def _length(x):
    """|x| over the whole image, at least 1e-12, so that it may be divided by and has a finite gradient."""
    return jnp.sqrt(jnp.maximum(jnp.sum(x**2), 1e-24))


def adaptive_projected(
    denoise: Denoiser,
    scale: float = 4.0,
    *,
    null: PyTree = None,
    parallel: float = 0.0,
    threshold: float = float("inf"),
    momentum: float = -0.5,
) -> AdaptiveProjected:
    """A guided denoiser for large scales; goes around other guidance, in `jd.sample` along a grid (`Remembering`).

    New numbers are no new trace.
    Sadat et al. 2024, "Eliminating oversaturation and artifacts of high guidance scales in diffusion models", arXiv
    2410.02416, algorithm 1, on D.

    Args:
        denoise: of images with a condition.
        scale: w; 1 leaves D(cond).
        null: the absent condition, as of `classifier_free`.
        parallel: η, the share of the part along D(cond) that is kept; 1 is classifier-free guidance.
        threshold: r, the greatest length of the change, over all values of an image, model units; infinite for none.
        momentum: β; negative pushes away from the changes before, 0 is none.

    Returns:
        A denoiser with a memory.
    """
    return AdaptiveProjected(denoise, scale, null=null, parallel=parallel, threshold=threshold, momentum=momentum)
