"""Blood smears (BCCD) in colour and by their green channel alone: pairs for translation.

A fifth of the training images, the same as for classification, is held out for choices ("dev").
"""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.tasks.blood import held_out
from jaxdiff.data.errors import DataError
from jaxdiff.physics.binning import area_binning

BINNING = 2
"""The files' colours are stored at half their resolution: so that they are as fine as the green."""
GREEN = 1


def names(data: Path, split: str) -> list[Path]:
    """The pictures of "fit", "dev" or "val". Raises DataError where there are none."""
    folder = Path(data) / ("val" if split == "val" else "train")
    files = sorted(folder.glob("*.jp*g"))
    if not files:
        raise DataError(f"{folder} without pictures", "the BCCD folder", "give its path with --data")
    if split == "val":
        return files
    dev_names = held_out([file.name for file in files])
    return [file for file in files if (file.name in dev_names) == (split == "dev")]


def read(file: Path) -> np.ndarray:
    """(Y, X, 3) uint8, binned."""
    with Image.open(file) as picture:
        return np.rint(area_binning(np.asarray(picture.convert("RGB")), (BINNING, BINNING))).astype(np.uint8)


def write(data: Path, out: Path) -> None:
    """Write pairs of green and colour of the training images, for configs/blood_translation.py.

    Args:
        data: the BCCD folder.
        out: gets fit/{colour,green}/NAME.png.
    """
    for file in names(data, "fit"):
        colour = read(file)
        for part, pixels in (("colour", colour), ("green", colour[..., GREEN])):
            path = out / "fit" / part / f"{file.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
