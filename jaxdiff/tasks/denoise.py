"""Denoising: the mean of K samples of the clean image, the samples, and their spread."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.data.pairs import Denoising
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.estimate import Estimate, mean_bias, say_unmeasured
from jaxdiff.tasks.sampled import check_task, conditional_samples, with_channels
from jaxdiff.tasks.scale import blank_input, repeated


@dataclass(frozen=True, eq=False)
class Denoised(Estimate):
    """What `denoise` returns, in the data's units."""

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
    posterior_std: float = 1.0,
    correct: bool = True,
) -> Denoised:
    """The clean image behind a noisy one of any size, (*spatial, C) in the data's own units.

    Camera noise has mean 0, so that the mean light of the noisy image is that of the clean one, up to its standard error.
    An image whose grey levels are not those of training is said with numbers, as a warning, and so is light that is too
    little to measure; a blank image comes back as it is.

    Args:
        key: sample k depends on (key, k).
        model: trained with `Denoising`, or on pairs of files.
        image: (*spatial, C), data units.
        samples: whose mean and standard deviation are returned.
        calls: network calls of each.
        solver: default `model.solver`, on its own grid or the model's default one.
        posterior_std: of what the input leaves open, over that of the training images: the default grid moves by −log of it,
            to where so little noise is left. Samples of a smaller one agree too much.
        correct: scale each channel's light above the camera's offset to that of the noisy image. Models trained on pairs from
            files, whose exposures may differ, are not corrected.

    Returns:
        Image, standard deviation and samples, in data units, and the light before correction.

    Raises:
        ValueError: for a model trained for something else, for pixels that are not finite, and other axes or channels.
    """
    check_key(key)
    check_task(model, "denoise")
    if blank_input(model, image):
        return Denoised.of(repeated(with_channels(image, model.inputs.info), samples), bias=None)
    draws = conditional_samples(key, model, image, samples, calls=calls, solver=solver, posterior_std=posterior_std)
    noisy = with_channels(image, model.inputs.info)
    offset = dark_level(model, noisy)
    if offset is None:
        return Denoised.of(draws, bias=None)
    light = noisy.astype(np.float64) - offset
    bias = mean_bias(light, draws - offset)
    say_unmeasured(light, bias, offset)
    if correct:
        factor = (1 + np.nan_to_num(bias)).astype(np.float32)
        draws = offset + (draws - offset) / factor
    return Denoised.of(draws, bias=bias)


def dark_level(model: Model, image: Float[np.ndarray, "*spatial channels"]) -> Float[np.ndarray, " channels"] | None:
    """The grey level of each channel above which a model takes an image for light, float32: that of the camera of training,
    or of the image where each is on its own grey scale. None for a model that does not know what is light."""
    pairs = model.pairing.pairs if model.pairing is not None else None
    if not isinstance(pairs, Denoising):
        return None
    if pairs.per_image is not None:
        return pairs.per_image.scale(image).offset.astype(np.float32)
    return None if pairs.offset is None else np.full(image.shape[-1], pairs.offset, np.float32)
