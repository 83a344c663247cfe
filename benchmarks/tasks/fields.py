"""The fields of a split: whole images with their masks, spread over the wells of the plate."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile

from jaxdiff.data.errors import DataError
from jaxdiff.data.sources.bbbc039 import WELL

Split = Literal["train", "dev", "val"]
FEW = 8
"""Fields that are measured unless all are asked for."""


@dataclass(frozen=True)
class Field:
    """One field of view: image (Y, X) in grey levels as stored, mask (Y, X) int32 with 0 = background."""

    name: str
    well: str
    image: np.ndarray
    mask: np.ndarray


def load(data: str | Path, split: Split, num: int | None = FEW) -> list[Field]:
    """`num` fields of data/SPLIT/{images,masks}, in the order of their names; None for all.

    They are spread evenly over the wells in the order of the plate (`spread`), so that few fields still are many
    treatments. Raises DataError where there are no images, fewer than `num`, or a name without a well.
    """
    folder = Path(data) / split
    files = sorted((folder / "images").glob("*.tif"))
    if not files:
        raise DataError(f"{folder} without images/*.tif", "the BBBC039 folder", "give its path with --data")
    wells = [re.search(WELL, file.name) for file in files]
    if not all(wells):
        raise DataError(f"{files[wells.index(None)].name}", "names such as x_B04_y.tif", "give the BBBC039 folder")
    names = [well.group(1) for well in wells if well]
    if num is not None and not 1 <= num <= len(files):
        raise DataError(f"{num} fields of {split}", f"1 to {len(files)}", "lower --num, or give --full")
    chosen = range(len(files)) if num is None else spread(names, num)
    return [
        Field(
            files[i].stem,
            names[i],
            tifffile.imread(files[i]),
            tifffile.imread(folder / "masks" / files[i].name).astype(np.int32),
        )
        for i in chosen
    ]


def spread(wells: list[str], num: int) -> list[int]:
    """Places of `num` fields, rising: first fields of wells at even distances, second fields only after all firsts."""
    rank = [wells[:i].count(well) for i, well in enumerate(wells)]
    order = sorted(range(len(wells)), key=lambda i: (rank[i], i))
    firsts = rank.count(0)
    return sorted(order[k * firsts // num] if num <= firsts else order[k] for k in range(num))


def crop(field: Field, size: int) -> Field:
    """The size x size window in the middle of a field."""
    return Field(field.name, field.well, middle(field.image, size), middle(field.mask, size))


def middle(array: np.ndarray, size: int) -> np.ndarray:
    """The size x size window in the middle of (Y, X) or (Y, X, C). Raises DataError for a smaller array."""
    if min(array.shape[:2]) < size:
        raise DataError(f"a field of {array.shape}", f"at least {size} x {size}", "lower the size of the crops")
    top, left = ((n - size) // 2 for n in array.shape[:2])
    return array[top : top + size, left : left + size]
