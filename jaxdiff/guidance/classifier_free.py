"""Classifier-free guidance."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.extrapolation import extrapolated, inside, interval_ends, rescaled
from jaxdiff.guidance.learned import LearnedGuidance, has_learned
from jaxdiff.nn.condition import null as null_of
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class Guidance(NamedTuple):
    """The numbers of classifier-free guidance, as commands and records hold them: denoiser -> denoiser."""

    scale: float = 1.0
    """1 for none."""
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def __call__(self, denoise: Denoiser) -> Denoiser:
        """`classifier_free`, or at scale 1 the denoiser itself; where its network has learned guidance, that is told."""
        if self.scale == 1.0:
            return denoise
        if has_learned(denoise):
            if self.interval is not None or self.rescale:
                raise ValueError(
                    f"got interval={self.interval}, rescale={self.rescale} of guidance that the network learned; expected "
                    "a scale alone; to fix: leave them out"
                )
            return LearnedGuidance(denoise, self.scale)
        return classifier_free(denoise, self.scale, interval=self.interval, rescale=self.rescale)


class ClassifierFree(eqx.Module):
    """D = D(null) + w (D(cond) − D(null)), both in one batched call; made by `classifier_free`."""

    extrapolates: ClassVar[bool] = True
    """Of means over a step that is no such mean: those two follow flows of their own."""

    denoise: Denoiser
    scale: np.ndarray = eqx.field(converter=array_leaf)
    null: PyTree
    interval: Array | np.ndarray
    rescale: np.ndarray = eqx.field(converter=array_leaf)

    __repr__ = representation

    @property
    def measurement(self) -> Any:
        """What the guided denoiser looks at, where it is a method of posterior sampling, or None."""
        return getattr(self.denoise, "measurement", None)

    def __call__(self, x, lam, cond=None):
        conditional, unconditional = both(self.denoise, x, lam, cond, self.null)
        guided = rescaled(extrapolated(conditional, unconditional, self.scale), conditional, self.rescale)
        return jnp.where(inside(lam, self.interval, x.dtype), guided, conditional)


def both(denoise: Denoiser, x: Array, lam: Any, cond: PyTree, null: PyTree) -> tuple[Array, Array]:
    """(D(cond), D(null)) by one batched call; null: the absent condition, or None for that of a dict.

    Raises ValueError without a condition, and for one of which the absent form is not known.
    """
    if not jax.tree.leaves(cond):
        raise ValueError(
            "got classifier-free guidance without a condition; expected one for each image; to fix: pass cond, or "
            "sample from the unguided denoiser"
        )
    if null is None and not isinstance(cond, Mapping):
        raise ValueError(
            f"got a condition of type {type(cond).__name__} without null; expected a dict, whose absent form is known "
            "by its names; to fix: null= with the absent condition of one image"
        )
    null = null_of(cond) if null is None else null
    stacked = jax.tree.map(lambda c, n: jnp.stack([jnp.asarray(c), jnp.asarray(n, jnp.asarray(c).dtype)]), cond, null)
    conditional, unconditional = jax.vmap(lambda c: denoise(x, lam, c))(stacked)
    return conditional, unconditional


def classifier_free(
    denoise: Denoiser,
    scale: float = 2.0,
    null: PyTree = None,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> ClassifierFree:
    """A guided denoiser: D(null) + scale (D(cond) − D(null)).

    A new scale, null, interval or rescale is no new trace.
    Ho and Salimans 2022, arXiv 2207.12598; intervals: Kynkäänniemi et al. 2024, arXiv 2404.07724; rescale: Lin et al. 2023,
    arXiv 2305.08891, section 3.4, eq. 15-16.

    Args:
        denoise: of a model that was trained with and without its condition.
        scale: 1 leaves `denoise` as it is, 0 ignores the condition.
        null: the absent condition for one image, of the condition's structure; default, of a dict: label −1, everything else
            zeros.
        interval: λ range where guidance acts; outside, the result is the D(cond) of the batched call to the bit (a network
            called on half the batch may differ from it by rounding). Default everywhere.
        rescale: Lin's φ, 0 to 1: the share of the way from the guided D, whose contrast a large scale raises, to the same
            image with the contrast of D(cond): the standard deviation over all pixels of a channel, about the channel's mean,
            which stays. Applied to D, in model units; the paper applies it to the network's output, and its factor to the
            mean as well, which brightens images whose mean is not 0.

    Returns:
        The guided denoiser.

    Raises:
        ValueError: for an empty interval or a rescale outside [0, 1].
    """
    if not (isinstance(rescale, Tracer) or 0.0 <= rescale <= 1.0):
        raise ValueError(f"got rescale={rescale}; expected 0 (off) to 1 (the whole way); to fix: the paper uses 0.7")
    return ClassifierFree(denoise, scale, null, interval_ends(interval), rescale)
