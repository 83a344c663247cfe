"""New fields out of labelled ones: objects of some pasted onto others (Ghiasi et al. 2021, arXiv 2012.07177)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.tasks.fields import Field

SHARE = 0.75
"""Objects pasted, for each that the target has; at least `FEWEST`."""
FEWEST = 10
TRIES = 20
"""Places tried for each object; one that would lie on another everywhere is left out."""
RIM = 2
"""Pixels around an object that come with it, fading out."""


def pasted(rng: np.random.Generator, fields: Sequence[Field]) -> Field:
    """One of the fields, turned, with whole objects of all fields added where nothing lies, each turned too.

    Labels are 1..n. An object brings its brightness above the background of where it is from, the field's median outside
    its objects.
    """
    target = fields[int(rng.integers(len(fields)))]
    image, mask = turned(rng, target.image.astype(np.float64), target.mask)
    objects = [(field, label) for field in fields for label in whole(field.mask)]
    own = len(np.unique(mask)) - 1
    for _ in range(max(FEWEST, round(SHARE * own))):
        source, label = objects[int(rng.integers(len(objects)))]
        light, shape = turned(rng, *_cut_out(source, label))
        for _ in range(TRIES):
            top, left = (int(rng.integers(0, n - m + 1)) for n, m in zip(mask.shape, shape.shape))
            place = slice(top, top + shape.shape[0]), slice(left, left + shape.shape[1])
            if not mask[place][shape > 0].any():
                alpha = _alpha(shape > 0) * (mask[place] == 0)  # light of a neighbour stays its own
                below = _background(image, mask)
                image[place] = (1 - alpha) * image[place] + alpha * (below + light)
                mask[place][shape > 0] = mask.max() + 1
                break
    labels = np.unique(mask, return_inverse=True)[1].reshape(mask.shape)  # 0 stays 0: no object covers a whole field
    return Field(target.name, target.well, np.rint(image).astype(target.image.dtype), labels.astype(np.int32))


def whole(mask: np.ndarray) -> list[int]:
    """Labels of the objects that no edge of the field cuts."""
    cut = np.concatenate([mask[[0, -1]].ravel(), mask[:, [0, -1]].ravel()])
    return [int(label) for label in np.setdiff1d(mask, cut) if label]


def turned(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both mirrored and turned by the same one of the eight symmetries of a square."""
    quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
    both = [np.rot90(array[:, ::-1] if mirror else array, quarter).copy() for array in (image, mask)]
    return both[0], both[1]


def _cut_out(field: Field, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Light above the background, and the object's mask, in its box and a rim."""
    rows, columns = np.nonzero(field.mask == label)
    box = tuple(slice(max(of.min() - RIM, 0), of.max() + RIM + 1) for of in (rows, columns))
    light = field.image[box].astype(np.float64) - _background(field.image, field.mask)
    return light, (field.mask[box] == label).astype(np.int32)


def _alpha(inside: np.ndarray) -> np.ndarray:
    """1 inside, falling to 0 over the rim."""
    outside: Any = ndimage.distance_transform_edt(~inside)
    return np.clip(1 - outside / (RIM + 1), 0, 1)


def _background(image: np.ndarray, mask: np.ndarray) -> float:
    return float(np.median(image[mask == 0]))
