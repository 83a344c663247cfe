"""Super-resolution: the image of more pixels behind a coarse one, as mean, samples and their spread."""

from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.data.pairing import spread
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.sampled import check_task, conditional_samples, with_channels
from jaxdiff.tasks.scale import blank_input, repeated


def super_resolve(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*coarse channels"],
    samples: int = 8,
    *,
    calls: int = 8,
    solver: Any = None,
    posterior_std: float = 1.0,
) -> Estimate:
    """The image behind a coarse one of any size; `model.inputs.factor` times as many pixels along each axis.

    An image whose grey levels are not those of training is said with numbers, as a warning; of a blank one the result is as
    blank.

    Args:
        key: of the samples.
        model: trained with `SuperResolution`.
        image: (*coarse, C) in the data's own units.
        samples: whose mean and standard deviation are returned.
        calls: network calls of each.
        solver: default `model.solver`, on its own grid or the model's default one.
        posterior_std: of what the input leaves open, over that of the training images: the default grid moves by −log of it,
            to where so little noise is left. Samples of a smaller one agree too much.

    Returns:
        Image, standard deviation and samples, (*fine, C) in the data's units.

    Raises:
        ValueError: for a model trained for something else, for pixels that are not finite, and other axes or channels.
    """
    check_key(key)
    check_task(model, "super-resolve")
    if blank_input(model, image):
        image = with_channels(image, model.inputs.info)
        size = tuple(n * f for n, f in zip(image.shape, model.inputs.factor))
        return Estimate.of(repeated(spread(image, size), samples))
    return Estimate.of(
        conditional_samples(key, model, image, samples, calls=calls, solver=solver, posterior_std=posterior_std)
    )
