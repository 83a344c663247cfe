"""Instance labels in, of whatever numbers a file holds, and out, as OME-TIFF."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.write import write_image
from jaxdiff.data.info import DataInfo

LARGEST = int(np.iinfo(np.uint32).max)
BLOCK = 2**22
"""Pixels that are looked at together: masks of slides lie in files, and not in memory."""


def as_labels(mask: ArrayLike, what: str) -> Int[np.ndarray, "*spatial"]:
    """The instance labels of a mask (*spatial) of any type, int32, 0 the background; objects stay as they are apart.

    Floats that hold whole numbers alone are taken, and booleans: True is the label 1. Where a label is beyond int32, all of
    the mask are numbered anew, 1, 2, 3 … in their order. Raises DataError, naming `what`, for labels below 0, floats that
    are no whole numbers or so large that neighbours are one number, and for other types.
    """
    values = np.asarray(mask)
    return renumbered(values, too_large(values, what))


def too_large(mask: np.ndarray, what: str) -> np.ndarray | None:
    """All labels but 0, rising, of a mask with a label beyond int32; None for others. Raises as `as_labels` does."""
    if mask.dtype.kind not in "buif":
        raise DataError(f"{what} with values of type {mask.dtype}", "integer labels, 0 the background", "save integers")
    least, most = 0, 0
    for block in _blocks(mask):
        if mask.dtype.kind == "f":
            _check_whole(block, what)
        least, most = min(least, int(block.min())), max(most, int(block.max()))
    if least < 0:
        number = sum(int(np.count_nonzero(block < 0)) for block in _blocks(mask))
        raise DataError(
            f"{what} with {number} pixels below 0, down to {least}",
            "0 for the background, 1, 2, 3 … for the objects",
            "set them to 0 where they are background; leave the image out where nobody labelled them",
        )
    exact = 2 ** (np.finfo(mask.dtype).nmant + 1) if mask.dtype.kind == "f" else most
    if most > exact:
        raise DataError(
            f"{what} with labels up to {most} of type {mask.dtype}, which does not tell numbers above {exact} from their "
            "neighbours",
            "integer labels",
            "save it as integers, from where the labels were made",
        )
    if most <= np.iinfo(np.int32).max:
        return None
    labels = np.unique(np.concatenate([np.unique(block) for block in _blocks(mask)]))
    return labels[labels != 0]


def renumbered(mask: np.ndarray, labels: np.ndarray | None) -> Int[np.ndarray, "*spatial"]:
    """A mask, or a part of one, as int32: each label's place in `labels`, from 1; None: as they are."""
    if labels is None:
        return mask.astype(np.int32)
    return np.where(mask == 0, 0, np.searchsorted(labels, mask) + 1).astype(np.int32)


def _blocks(mask: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // max(1, mask[:1].size))
    return (mask[start : start + rows] for start in range(0, len(mask) if mask.size else 0, rows))


def _check_whole(values: np.ndarray, what: str) -> None:
    wrong = ~np.isfinite(values) | (values != np.round(values))
    if wrong.any():
        raise DataError(
            f"{what} with values of type {values.dtype} that are no whole numbers, such as {values[wrong][0]:g}",
            "integer labels, 0 the background",
            "give the labels themselves, not probabilities or an image; enlarge masks without interpolation",
        )


def write_labels(path: str | Path, mask: ArrayLike, info: DataInfo, overwrite: bool = False) -> None:
    """Write instance labels (*spatial), 0 the background, as OME-TIFF, with the axes and pixel size of an image.

    The file holds uint16 where the largest label allows, else uint32, in one channel named "labels", and appears whole or not
    at all.

    Args:
        path: a name that ends in .ome.tif.
        mask: (*spatial), integers.
        info: that of the image that the labels belong to.
        overwrite: a file that exists is replaced.

    Returns:
        Nothing.

    Raises:
        DataError: for a mask that is not of integers, has negative labels or labels that uint32 does not hold, or other axes
            than the image; and for what `write_image` refuses.
    """
    labels = checked_labels(mask, f"a mask for {path}")
    if labels.ndim != len(info.spatial) or 0 in labels.shape:
        raise DataError(
            f"a mask of shape {labels.shape} for {path}",
            f"axes {info.spatial}, those of its image, without channels",
            "write the labels of one image at a time",
        )
    dtype = "uint16" if labels.max() <= np.iinfo(np.uint16).max else "uint32"
    of_labels = info.replace(channel_names=("labels",), colour=False, dtype=dtype, class_names=())
    write_image(path, labels[..., None], of_labels, overwrite=overwrite)


def checked_labels(mask: ArrayLike, what: str) -> np.ndarray:
    """The mask as an array. Raises DataError, naming `what`, unless it holds integers from 0 to what uint32 holds."""
    labels = np.asarray(mask)
    if labels.dtype.kind not in "ui":
        fix = (
            "scipy.ndimage.label(mask)[0]"
            if labels.dtype.kind == "b"
            else "mask.astype(int), once it holds whole numbers"
        )
        raise DataError(f"{what} with values of type {labels.dtype}", "integer labels, 0 the background", fix)
    if labels.size and (labels.min() < 0 or labels.max() > LARGEST):
        raise DataError(
            f"{what} with labels from {labels.min()} to {labels.max()}",
            f"labels from 0, the background, to {LARGEST}",
            "number the objects 1, 2, 3 …",
        )
    return labels
