"""An image as the network of a conditional model sees it: normalised, on pixels of the model's own; and results back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.per_image import GreyScale, PerImage
from jaxdiff.data.resample import resampled, resampled_size
from jaxdiff.model import Model


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network sees of an image, and what that is on the image's grey levels."""

    normal: Float[np.ndarray, "*fine channels"]
    """In network units, on the pixels of what is diffused."""
    scale: GreyScale | None
    """Of an image that is normalised by its own grey levels; of the whole image, before it was resampled."""


def seen(model: Model, image: Float[np.ndarray, "*spatial channels"], factor: float = 1.0) -> Seen:
    """An image as the model's network sees it.

    Args:
        model: with an image condition.
        image: (*spatial, C), grey levels.
        factor: pixels that the network sees for one of the image; other than 1 for planes alone.

    Returns:
        The condition in network units, and the image's grey scale.
    """
    per_image = per_image_of(model)
    scale = None if per_image is None else per_image.scale(image)
    if factor != 1:
        image = resampled(image, resampled_size(image.shape[:-1], factor))
    return Seen(model.inputs.forward(image if scale is None else scale.forward(image)), scale)


def per_image_of(model: Model) -> PerImage | None:
    """How a model normalises images by their own grey levels; None where it does not."""
    return getattr(model.pairing and model.pairing.pairs, "per_image", None)


def object_size_of(model: Model) -> ObjectSize | None:
    """The size of objects that a model knows; None where it takes pixels as they come."""
    size = getattr(model.pairing and model.pairing.pairs, "size", None)
    return size if isinstance(size, ObjectSize) and size.diameter is not None else None


def returns_levels(model: Model) -> bool:
    """Whether what a model diffuses is on the grey scale of its input."""
    return bool(getattr(model.pairing and model.pairing.pairs, "on_input_scale", False))
