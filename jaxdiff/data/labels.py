"""Instance labels out, as OME-TIFF."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.write import write_image

LARGEST = int(np.iinfo(np.uint32).max)


def write_labels(path: str | Path, mask: ArrayLike, info: DataInfo, overwrite: bool = False) -> None:
    """Write instance labels (*spatial), 0 the background, as OME-TIFF, with the axes and pixel size of `info`.

    info: that of the image that the labels belong to. The file holds uint16 where the largest label allows, else uint32,
    in one channel named "labels", and appears whole or not at all.

    Raises DataError for a mask that is not of integers, has negative labels or labels that uint32 does not hold, or other
    axes than the image; and for what `write_image` refuses.
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
