"""What a task says of the grey levels of an image, and what it makes of one without any."""

import warnings

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels, blank
from jaxdiff.data.normalise import Normaliser
from jaxdiff.model import Model
from jaxdiff.tasks.sampled import with_channels
from jaxdiff.tasks.seen import per_image_of

BLANK = "blank: "
"""What the warning of a blank image begins with."""
FIX = "to fix: give pixels as the camera wrote them, neither rescaled nor normalised, or train on images like these"


def say_scale(
    image: np.ndarray,
    levels: Levels | None,
    normaliser: Normaliser,
    info: DataInfo,
    *,
    noisy: bool = False,
    name: str = "",
    then: str = "nothing is computed, and the result is blank, too",
) -> bool:
    """Warns, with numbers, where the grey levels of an image (*spatial, C) are not those of training; True for a blank one.

    levels, normaliser, info: of such images in the training. noisy: see `Levels.outside`. Pixels that are not finite are
    left out; an image is blank where all others have one value (in each channel). name: what the warnings begin with. then:
    what becomes of a blank one.
    """
    if blank(image):
        values = ", ".join(f"{one:.6g}" for one in np.unique(image[np.isfinite(image)])[:4])
        warnings.warn(f"{name}{BLANK}every pixel has the value {values or 'NaN'}; {then}", stacklevel=4)
        return True
    ranges = Levels.of_normaliser(normaliser) if levels is None else levels
    if differences := ranges.outside(image, normaliser, info.channel_names, noisy=noisy):
        whence = "" if ranges.known else " (the run does not say, these follow from its normaliser)"
        warnings.warn(
            f"{name}grey levels are not those of the model's training{whence}, and the result may mean nothing: "
            f"{'; '.join(differences)}; {FIX}",
            stacklevel=4,
        )
    return False


def say_end(end: float, dtype: str, levels: Levels | None, normaliser: Normaliser) -> None:
    """Warns where pixels of a dtype, which end at `end` on the scale of training, cannot hold the training's grey levels."""
    ranges = Levels.of_normaliser(normaliser) if levels is None else levels
    if ranges.known and end < (brightest := ranges.brightest):
        warnings.warn(
            f"grey levels may not be those of the model's training: {dtype} pixels, which end at {end:.4g} (training: up to "
            f"{brightest:.4g}); {FIX}",
            stacklevel=3,
        )


def blank_input(model: Model, image: np.ndarray) -> bool:
    """`say_scale` of an input (*spatial, C) of a conditional model; one channel may be left out.

    Of a model that normalises each image by its own grey levels only a blank one is said.
    """
    inputs = model.inputs
    image = with_channels(image, inputs.info)
    if per_image_of(model) is not None and not blank(image):
        return False
    return say_scale(image, inputs.levels, inputs.normaliser, inputs.info)


def repeated(image: np.ndarray, samples: int) -> np.ndarray:
    """(samples, *spatial, C) float32 of one image, none of them in memory."""
    check_samples(samples)
    return np.broadcast_to(np.asarray(image).astype(np.float32), (samples, *image.shape))


def check_samples(samples: int) -> None:
    """Raises ValueError for no samples at all."""
    if samples < 1:
        raise ValueError(f"got samples={samples}; expected at least 1; to fix: samples=8")
