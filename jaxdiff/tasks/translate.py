"""Translation, such as virtual staining: another modality of the same field, as mean, samples and their spread."""

from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.data.levels import Levels
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.sampled import check_task, conditional_samples, with_channels
from jaxdiff.tasks.scale import blank_input, repeated


def translate(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*spatial channels"],
    samples: int = 8,
    *,
    calls: int = 8,
    solver: Any = None,
    posterior_std: float = 1.0,
) -> Estimate:
    """What the model's other modality would show of the field of `image`: a prediction, and no recording.

    An image whose grey levels are not those of training is said with numbers, as a warning; of a blank one the result is the
    least median of the images of that modality in training, all over.

    Args:
        key: of the samples.
        model: trained on pairs of modalities.
        image: of any size, (*spatial, C) in its own units.
        samples: whose mean and standard deviation are returned.
        calls: network calls of each.
        solver: default `model.solver`, on its own grid or the model's default one.
        posterior_std: of what the input leaves open, over that of the training images: the default grid moves by −log of it,
            to where so little noise is left. Samples of a smaller one agree too much.

    Returns:
        Image, standard deviation and samples, in the units and channels of the other modality.

    Raises:
        ValueError: for a model trained for something else, for pixels that are not finite, and other axes or channels.
    """
    check_key(key)
    check_task(model, "translate")
    if blank_input(model, image):
        fine = (n * f for n, f in zip(with_channels(image, model.inputs.info).shape, model.inputs.factor))
        levels = Levels.of_normaliser(model.normaliser) if model.levels is None else model.levels
        empty = np.broadcast_to([least for least, _ in levels.middle], (*fine, levels.channels))
        return Estimate.of(repeated(empty, samples))
    return Estimate.of(
        conditional_samples(key, model, image, samples, calls=calls, solver=solver, posterior_std=posterior_std)
    )
