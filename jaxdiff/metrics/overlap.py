"""Overlap of all foreground with all foreground, whatever the objects."""

import numpy as np
from numpy.typing import ArrayLike


def dice(truth: ArrayLike, labels: ArrayLike) -> float:
    """2 |A ∩ B| / (|A| + |B|) of the foregrounds (labels > 0) of two masks (*spatial); 1 where both are blank.

    Masks hold integer labels or booleans. Raises ValueError for anything else or for different shapes.
    """
    both, one, two = _areas(truth, labels)
    return 2 * both / (one + two) if one + two else 1.0


def iou(truth: ArrayLike, labels: ArrayLike) -> float:
    """|A ∩ B| / |A ∪ B| of the foregrounds, as `dice`."""
    both, one, two = _areas(truth, labels)
    return both / (one + two - both) if one + two else 1.0


def _areas(truth: ArrayLike, labels: ArrayLike) -> tuple[int, int, int]:
    """Pixels in both foregrounds, in the truth's and in the labels'."""
    masks = np.asarray(truth), np.asarray(labels)
    if masks[0].shape != masks[1].shape:
        raise ValueError(
            f"got a truth of shape {masks[0].shape} and labels of shape {masks[1].shape}; expected one shape; "
            "to fix: segment at the truth's pixel size, without a channel axis"
        )
    for name, mask in zip(("truth", "labels"), masks, strict=True):
        if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
            raise ValueError(
                f"got {name} of dtype {mask.dtype}; expected integer labels or booleans; "
                "to fix: threshold a probability first, probability > 0.5"
            )
    one, two = (mask > 0 for mask in masks)
    return int(np.sum(one & two)), int(np.sum(one)), int(np.sum(two))
