"""Denoising: the mean of K samples of the clean image, the samples, and their spread."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.commands.folders.options import has_unconditional_run, parsed
from jaxdiff.data.pairs import Denoising
from jaxdiff.model import Model
from jaxdiff.tasks.estimate import EstimateOptions, estimate, estimate_folder
from jaxdiff.tasks.sampled import check_task, given, with_channels
from jaxdiff.tasks.scale import blank_input, repeated


class Denoised(NamedTuple):
    """What `denoise` returns, in the data's units."""

    image: Float[np.ndarray, "*spatial channels"]
    """Mean of the samples: the estimate with the least squared error."""
    std: Float[np.ndarray, "*spatial channels"]
    """Standard deviation of the samples (over K − 1), pixel by pixel; NaN for one sample, which has no spread."""
    samples: Float[np.ndarray, "k *spatial channels"]
    """Images as sharp as real ones, each a possible truth."""
    bias: Float[np.ndarray, " channels"] | None
    """Mean light of the denoised image, before correction, over that of the noisy one, minus 1; NaN for a channel with too
    little light to measure it, which is not corrected; None where the model does not know what is light."""


def denoise(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*spatial channels"],
    samples: int = 8,
    *,
    calls: int = 4,
    solver: Any = None,
    correct: bool = True,
) -> Denoised:
    """The clean image behind a noisy one of any size, (*spatial, C) in the data's own units.

    Camera noise has mean 0, so that the mean light of the noisy image is that of the clean one, up to its standard
    error; `correct` scales each channel's light above the camera's offset to it. Models trained on pairs from files, whose
    exposures may differ, are not corrected.
    An image whose grey levels are not those of training is said with numbers, as a warning, and so is light that is too
    little to measure; a blank image comes back as it is.
    Raises ValueError for a model trained for something else, and for what `jaxdiff.tasks.sampled.given` refuses.
    """
    check_task(model, "denoise")
    if blank_input(model, image):
        return Denoised(*estimate(repeated(with_channels(image, model.inputs.info), samples)), None)
    draws = given(key, model, image, samples, calls=calls, solver=solver)
    pairs = model.pairing.pairs if model.pairing is not None else None
    bias = None
    if isinstance(pairs, Denoising) and pairs.offset is not None:
        light = with_channels(image, model.inputs.info).astype(np.float64) - pairs.offset
        bias = mean_bias(light, draws - np.float32(pairs.offset))
        say_unmeasured(light, bias, pairs.offset)
        if correct:
            factor = (1 + np.nan_to_num(bias)).astype(np.float32)
            draws = np.float32(pairs.offset) + (draws - np.float32(pairs.offset)) / factor
    return Denoised(*estimate(draws), bias)


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


def say_unmeasured(light: np.ndarray, bias: np.ndarray, offset: float) -> None:
    """Warns, with the light of each channel (light: *spatial, C, above the offset), where `mean_bias` is not known."""
    unknown = np.flatnonzero(np.isnan(bias))
    means, errors = light.mean(axis=tuple(range(light.ndim - 1))), _standard_error(light)
    if unknown.size:
        told = ", ".join(f"{means[c]:.4g} ± {errors[c]:.2g}" for c in unknown)
        warnings.warn(
            f"mean light {told} above the offset of {offset:.4g}: too little to measure the bias of the result, which is not "
            "corrected",
            stacklevel=3,
        )


def bias_in_words(bias: np.ndarray) -> float | str:
    """The mean of `mean_bias` over the channels where it is known; "not measurable" where it is in none."""
    return "not measurable" if np.isnan(bias).all() else float(np.nanmean(bias))


def _standard_error(noisy: np.ndarray) -> np.ndarray:
    return noisy.std(axis=tuple(range(noisy.ndim - 1))) / np.sqrt(noisy[..., 0].size)


@dataclass(frozen=True, kw_only=True)
class Denoise(EstimateOptions):
    """The clean image behind every noisy one of a folder, with the standard deviation of its samples."""

    calls: int = 4
    """Network calls for each sample."""
    correct: bool = True
    """Scale the light of the result to that of the noisy image, which noise of mean 0 leaves unchanged."""


def main(args: list[str], prog: str = "sample.py denoise") -> int:
    """The command: options from `args`; exit status. For a run of images alone see `commands/restoration/denoise.py`."""
    if has_unconditional_run(args):
        from jaxdiff.commands.restoration.denoise import main as restoration

        return restoration(args, prog)
    options: Denoise = parsed(Denoise, args, prog)

    def numbers(result: Denoised) -> dict[str, str | float]:
        return {} if result.bias is None else {"bias_before_correction": bias_in_words(result.bias)}

    return estimate_folder(options, "denoise", partial(denoise, correct=options.correct), numbers)
