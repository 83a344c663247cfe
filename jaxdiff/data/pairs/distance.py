"""The truncated signed distance of instance labels: a picture of a segmentation that can be diffused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Source

DISTANCE = "signed distance"
TRUNCATION = 8.0
"""Pixels from an outline at which the distance ends."""


def signed_distance(mask: Int[np.ndarray, "*field"], truncation: float = TRUNCATION) -> Float[np.ndarray, "*field"]:
    """Pixels to the outline of the own instance (inside, above 0) or of the nearest one (outside, below 0), float32.

    Outlines run between pixels, so no value is 0 and the nearest are ±1/2; instances that touch are parted by a valley
    of 1/2. Values end at ±`truncation`. The edge of the image is no outline: a cut object goes on behind it.
    Raises DataError for masks that `jaxdiff.data.files.labels.as_labels` does not take: a label of -1 is no object.
    """
    _check_truncation(truncation)
    mask = as_labels(mask, "a mask")
    distance = np.full(mask.shape, np.float32(truncation))
    background = mask == 0
    if not background.all():
        distance = -_to_nearest(background)
    # Numbered anew: find_objects needs memory for every number up to the largest.
    numbers, renumbered = np.unique(mask, return_inverse=True)
    renumbered = renumbered.reshape(mask.shape) + (0 if numbers[0] == 0 else 1)
    for number, place in enumerate(ndimage.find_objects(renumbered), 1):
        # One pixel of the surroundings on every side that lies within the image.
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in place)
        inside = renumbered[around] == number
        distance[around][inside] = _to_nearest(inside)[inside]
    if background.all():
        distance = -distance
    return np.clip(distance, -truncation, truncation).astype(np.float32)


def class_channels(
    mask: Int[np.ndarray, "*field"], numbers: Sequence[int], classes: int
) -> Float[np.ndarray, "*field classes"]:
    """1 in the channel of the class of the object that a pixel lies in, otherwise 0, float32.

    numbers: the class of each object 1..n of the mask, 0 to `classes` - 1. Raises DataError as `signed_distance`.
    """
    of_label = np.array([-1, *numbers])
    return (of_label[as_labels(mask, "a mask")][..., None] == np.arange(classes)).astype(np.float32)


def _check_truncation(truncation: float) -> None:
    if not 0.5 < truncation < np.inf:
        raise DataError(f"truncation={truncation}", "more than half a pixel", "8 pixels suit nuclei of 20 and more")


def _to_nearest(inside: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge of a pixel outside; infinite where there is none."""
    if inside.all():
        return np.full(inside.shape, np.inf, np.float32)
    return np.asarray(ndimage.distance_transform_edt(inside), np.float32) - np.float32(0.5)


@dataclass(frozen=True)
class FromMasks:
    """What kinds of pairs with a signed distance share: records get "distance" (*spatial, 1) from their masks."""

    truncation: float = TRUNCATION
    """Pixels from an outline at which the distance ends; a third of an object's width or less loses no seeds."""

    def __post_init__(self):
        _check_truncation(self.truncation)

    def fit(self, source: Source) -> Self:
        return self

    def prepare(self, record: Record) -> Record:
        """Raises DataError, naming the image, where it has no mask."""
        if "mask" not in record:
            fix = "name their folder: masks"
            raise DataError(f"{record['name']} without a mask", "instance labels of every image", fix)
        return {**record, "distance": self._distance(record)}

    def _distance(self, record: Record) -> Float[np.ndarray, "*spatial channels"]:
        return signed_distance(record["mask"], self.truncation)[..., None]


def distance_info(info: DataInfo, classes: Sequence[str] = ()) -> DataInfo:
    """The info of signed distances of images that are `info`, and of the channels of classes beside them."""
    names = (DISTANCE, *(f"class {name}" for name in classes))
    return info.replace(channel_names=names, colour=False, dtype="float32", object_classes=tuple(classes))
