"""What tasks from image to image share: mean, spread and samples of what is estimated, and the bias of its light."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from jaxdiff.data.statistics import Moments


@dataclass(frozen=True, eq=False)
class Estimate:
    """An image that was not recorded, in the units of the training images: what tasks from image to image return."""

    image: Float[np.ndarray, "*spatial channels"]
    """Mean of the samples: the estimate with the least squared error."""
    std: Float[np.ndarray, "*spatial channels"]
    """Standard deviation of the samples (over K − 1), pixel by pixel; NaN for one sample, which has no spread."""
    samples: Float[np.ndarray, "k *spatial channels"]
    """Images as sharp as real ones, each a possible truth."""

    @classmethod
    def of(cls, samples: Float[np.ndarray, "k *spatial channels"], **further: Any) -> Self:
        """The estimate of samples, which may lie in a file: one at a time is looked at. further: fields of a subclass."""
        moments = Moments()
        for sample in samples:
            moments.add(sample[None])
        return cls(moments.mean.astype(np.float32), moments.std(ddof=1).astype(np.float32), samples, **further)


def mean_bias(noisy: np.ndarray, draws: Iterable[np.ndarray]) -> Float[np.ndarray, " channels"]:
    """Relative excess of the samples' mean light over that of the noisy image, channel by channel.

    It is NaN where the noisy image has less light than four of its standard errors, or the samples have none beside it:
    nothing can be measured there.
    """
    axes = tuple(range(noisy.ndim - 1))
    mean, error = noisy.mean(axis=axes), _standard_error(noisy)
    got = np.mean([draw.mean(axis=axes, dtype=np.float64) for draw in draws], axis=0)
    measurable = (mean > 4 * error) & (got > np.finfo(np.float32).eps * mean)
    return np.where(measurable, got / np.where(measurable, mean, 1) - 1, np.nan)


def say_unmeasured(light: np.ndarray, bias: np.ndarray, offset: float | np.ndarray) -> None:
    """Warns, with the light of each channel, where `mean_bias` is not known. light: *spatial, C, above the offset, which is
    that of all channels or of each."""
    unknown = np.flatnonzero(np.isnan(bias))
    means, errors = light.mean(axis=tuple(range(light.ndim - 1))), _standard_error(light)
    if unknown.size:
        dark = np.broadcast_to(offset, bias.shape)[unknown[0]]
        text = ", ".join(f"{means[c]:.4g} ± {errors[c]:.2g}" for c in unknown)
        warnings.warn(
            f"mean light {text} above the offset of {dark:.4g}: too little to measure the bias of the result, "
            "which is not corrected",
            stacklevel=3,
        )


def _standard_error(noisy: np.ndarray) -> np.ndarray:
    return noisy.std(axis=tuple(range(noisy.ndim - 1))) / np.sqrt(noisy[..., 0].size)
