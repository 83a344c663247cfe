"""The classes of the objects in a mask: by their labels, by the mask that they are in, or by the values of pixels.

A record then has "classes", the name of the class of each object, beside its "mask", whose objects are numbered 1, 2, 3 …:
`classes[i]` is that of object i + 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int
from scipy import ndimage

from jaxdiff.data.errors import DataError

Objects = tuple[Int[np.ndarray, "*spatial"], tuple[str, ...]]
"""A mask of objects 1..n, int32, and the class of each."""
SHOWN = 5
"""Labels that a message names."""


class ObjectClasses(Protocol):
    """How the classes of an image's objects are known."""

    def objects(self, masks: Sequence[Int[np.ndarray, "*spatial"]], what: str) -> Objects:
        """The objects of an image's masks (one, or one a class) of labels of 0 or more.

        Raises DataError, naming `what`, for objects of no class or of two.
        """
        ...


@dataclass(frozen=True)
class ByLabel:
    """One mask of instances, and the class of each label."""

    names: Mapping[int, str]
    """The class of each label."""
    table: str
    """Where that is said, for messages."""

    def objects(self, masks: Sequence[Int[np.ndarray, "*spatial"]], what: str) -> Objects:
        (mask,) = masks
        labels = _labels(mask)
        lacking = [int(label) for label in labels if int(label) not in self.names]
        if lacking:
            raise DataError(
                f"{what} with objects {_some(lacking)} ({len(lacking)} of {len(labels)}) of no class in {self.table}",
                "a class for every object",
                "add their rows, or set them to 0 in the mask where they are background",
            )
        return _numbered(mask, labels), tuple(self.names[int(label)] for label in labels)


@dataclass(frozen=True)
class ByMask:
    """One mask of instances for each class."""

    names: tuple[str, ...]
    """The class of each mask."""

    def objects(self, masks: Sequence[Int[np.ndarray, "*spatial"]], what: str) -> Objects:
        joined, classes = np.zeros(masks[0].shape, np.int32), []
        for place, (mask, name) in enumerate(zip(masks, self.names, strict=True)):
            both = (joined != 0) & (mask != 0)
            if both.any():
                others = [o for o, m in zip(self.names[:place], masks) if ((m != 0) & both).any()]
                first = tuple(int(n) for n in np.argwhere(both)[0])
                raise DataError(
                    f"{what} with {int(both.sum())} pixels in two classes, {' or '.join(others)} and {name}, such as {first}",
                    "every pixel in one class at most",
                    "set them to 0 in all masks but one",
                )
            labels = _labels(mask)
            joined += np.where(mask == 0, 0, _numbered(mask, labels) + len(classes))
            classes += [name] * len(labels)
        return joined, tuple(classes)


@dataclass(frozen=True)
class ByValue:
    """One mask of classes of pixels: each connected piece of a value (over edges and corners) is an object.

    Objects of one class that touch are one: only masks of instances can tell them apart.
    """

    names: Mapping[int, str]
    """The class of each value but 0, the background."""

    def objects(self, masks: Sequence[Int[np.ndarray, "*spatial"]], what: str) -> Objects:
        (mask,) = masks
        unknown = [int(value) for value in _labels(mask) if int(value) not in self.names]
        if unknown:
            raise DataError(
                f"{what} with pixels of value {_some(unknown)}",
                f"0 or one of {', '.join(f'{value} ({name})' for value, name in self.names.items())}",
                "name the class of every value, or set these pixels to 0",
            )
        numbered, classes = np.zeros(mask.shape, np.int32), []
        label: Any = ndimage.label  # scipy declares another type of result
        for value, name in self.names.items():
            pieces, number = label(mask == value, np.ones((3,) * mask.ndim))
            numbered += np.where(pieces == 0, 0, pieces + len(classes)).astype(np.int32)
            classes += [name] * number
        return numbered, tuple(classes)


def _labels(mask: np.ndarray) -> np.ndarray:
    labels = np.unique(mask)
    return labels[labels != 0]


def _numbered(mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The objects as 1, 2, 3 … in the order of their labels."""
    return np.where(mask == 0, 0, np.searchsorted(labels, mask) + 1).astype(np.int32)


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:SHOWN])) + (", …" if len(numbers) > SHOWN else "")
