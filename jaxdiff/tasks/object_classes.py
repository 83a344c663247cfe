"""The classes of segmented objects, from K samples of their signed distance and of one channel a class.

A pixel of a sample is of the class whose channel is the greatest, where its distance is above 0, and otherwise of none. The
probability that an object is of a class is the share of this class in the pixels within the object that are of any, over all
samples: samples that disagree about a whole object count as much as those that part it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdiff.model import Model


class ObjectClasses(NamedTuple):
    """Of the objects 1..n of a segmentation; row i is object i + 1."""

    names: tuple[str, ...]
    """Of the classes."""
    probability: Float[np.ndarray, "n classes"]
    """That the object is of the class; rows add up to 1."""

    @property
    def number(self) -> Int[np.ndarray, " n"]:
        """The most probable class of each object, as its place in `names`; of equal ones the first."""
        return self.probability.argmax(axis=1) if len(self.probability) else np.zeros(0, int)

    @property
    def of_label(self) -> dict[int, str]:
        """The name of the most probable class of each label."""
        return {label: self.names[number] for label, number in enumerate(self.number.tolist(), 1)}

    @property
    def probability_of_label(self) -> dict[int, float]:
        """The probability of that class."""
        return dict(enumerate(self.probability.max(axis=1, initial=0).tolist(), 1))


def classes_of(model: Model) -> tuple[str, ...]:
    """The classes of objects that a model was trained to tell apart; none of one that knows no classes."""
    return tuple(getattr(model.pairing and model.pairing.pairs, "classes", ()))


def of_objects(
    labels: Int[np.ndarray, "*spatial"], draws: Float[np.ndarray, "k *spatial channels"], names: tuple[str, ...]
) -> ObjectClasses:
    """The classes of the objects in labels 1..n, from samples of the distance and then of the channels of the classes."""
    inside = labels > 0
    number, classes = int(labels.max(initial=0)), len(names)
    pixels = np.zeros((number, classes))
    for draw in draws:
        pixel = draw[inside]
        hit = pixel[:, 0] > 0
        place = (labels[inside][hit] - 1) * classes + pixel[hit, 1:].argmax(axis=-1)
        pixels += np.bincount(place, minlength=number * classes).reshape(number, classes)
    return ObjectClasses(names, pixels / pixels.sum(axis=1, keepdims=True))
