"""How many pixels each true object shares with each segmented one: what all segmentation metrics are made of."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike


class Contingency(NamedTuple):
    """n true and m segmented objects and their k overlapping pairs; background (0) is no object. Counts are pixels."""

    truth_ids: Int[np.ndarray, " n"]
    label_ids: Int[np.ndarray, " m"]
    truth_area: Int[np.ndarray, " n"]
    label_area: Int[np.ndarray, " m"]
    row: Int[np.ndarray, " k"]
    """Place of the pair's true object in `truth_ids`; pairs are in the order of rows, then columns."""
    column: Int[np.ndarray, " k"]
    """Place of the pair's segmented object in `label_ids`."""
    intersection: Int[np.ndarray, " k"]

    @property
    def union(self) -> Int[np.ndarray, " k"]:
        """Pixels in either object of a pair."""
        return self.truth_area[self.row] + self.label_area[self.column] - self.intersection

    @property
    def iou(self) -> Float[np.ndarray, " k"]:
        """Intersection over union of each pair; of pairs not listed it is 0."""
        return self.intersection / self.union


def contingency(truth: ArrayLike, labels: ArrayLike) -> Contingency:
    """The table of two label images (*spatial) of integers >= 0, 0 = background; ids may have gaps.

    Raises ValueError for different shapes, or labels that are not integers or are negative.
    """
    one, two = np.asarray(truth), np.asarray(labels)
    if one.shape != two.shape:
        raise ValueError(
            f"got a truth of shape {one.shape} and labels of shape {two.shape}; expected one shape (*spatial); "
            "to fix: segment at the truth's pixel size, without a channel axis"
        )
    truth_ids, truth_area, row = _objects(one, "truth")
    label_ids, label_area, column = _objects(two, "labels")
    both = (row >= 0) & (column >= 0)
    width = max(len(label_ids), 1)
    code = row[both] * width + column[both]
    if len(truth_ids) * width <= 4 * one.size:
        count = np.bincount(code)
        pair = np.flatnonzero(count)
        count = count[pair]
    else:  # the full table would be larger than the images
        pair, count = np.unique(code, return_counts=True)
    return Contingency(
        truth_ids,
        label_ids,
        truth_area=truth_area,
        label_area=label_area,
        row=pair // width,
        column=pair % width,
        intersection=count,
    )


def _objects(mask: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids and areas of the objects of a label image, and each pixel's place among the ids (−1 = background)."""
    if not np.issubdtype(mask.dtype, np.integer):
        how = "scipy.ndimage.label(mask)[0] numbers the objects" if mask.dtype == bool else "mask.astype(int) if whole"
        raise ValueError(f"got {name} of dtype {mask.dtype}; expected integer labels, 0 = background; to fix: {how}")
    if mask.size and mask.min() < 0:
        raise ValueError(f"got {name} with a label {mask.min()}; expected 0 or more; to fix: set those pixels to 0")
    flat = mask.ravel()
    if flat.size and int(flat.max()) <= 4 * flat.size:  # counting is 20 times faster than sorting
        area = np.bincount(flat.astype(np.intp))
        ids = np.flatnonzero(area)
        place = np.zeros(len(area), np.intp)
        place[ids] = np.arange(len(ids))
        place, area = place[flat], area[ids]
    else:
        ids, place, area = np.unique(flat, return_inverse=True, return_counts=True)
    if len(ids) and ids[0] == 0:
        return ids[1:], area[1:], place - 1
    return ids, area, place
