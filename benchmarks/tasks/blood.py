"""Blood cells (BCCD): fixed windows of 128 pixels at one scale around labelled cells, as images of 32 x 32.

The size of a box says too much of the class to be given away: every window is as wide, and is centred on its box. A fifth of
the training images, never of their windows, is held out for all choices.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jaxdiff.data.errors import DataError
from jaxdiff.physics.binning import area_binning

CLASSES = ("Platelets", "RBC", "WBC")
WINDOW, BINNING = 128, 4
SEED = 0
HELD_OUT = 5
"""One image in so many."""


@dataclass(frozen=True)
class Cell:
    """A window (32, 32, 3), uint8, its class as a place in `CLASSES`, and the image that it is of."""

    image: np.ndarray
    label: int
    file: str


def load(data: Path, split: str) -> list[Cell]:
    """All cells of data/SPLIT, in the order of its table. Raises DataError where there is none."""
    table = Path(data) / f"{split}.csv"
    if not table.is_file():
        raise DataError(f"no {table}", "the BCCD folder with train.csv and val.csv", "give its path with --data")
    cells, pictures = [], {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["filename"]
            if name not in pictures:
                with Image.open(table.parent / split / name) as picture:
                    pictures[name] = np.asarray(picture.convert("RGB"))
            box = [int(row[side]) for side in ("ymin", "ymax", "xmin", "xmax")]
            cells.append(
                Cell(
                    window(pictures[name], sum(box[:2]) // 2, sum(box[2:]) // 2), CLASSES.index(row["cell_type"]), name
                )
            )
    return cells


def window(picture: np.ndarray, y: int, x: int) -> np.ndarray:
    """The window around a pixel of (Y, X, 3), mirrored beyond the edges and binned, uint8."""
    half = WINDOW // 2
    padded = np.pad(picture, [(half, half), (half, half), (0, 0)], mode="symmetric")
    return np.rint(area_binning(padded[y : y + WINDOW, x : x + WINDOW], (BINNING, BINNING))).astype(np.uint8)


def parts(cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """To fit on, and to choose on: all cells of one image in `HELD_OUT`, drawn by `SEED`."""
    files = sorted({cell.file for cell in cells})
    chosen_on = held_out(files)
    return [c for c in cells if c.file not in chosen_on], [c for c in cells if c.file in chosen_on]


def held_out(files: Sequence[str]) -> set[str]:
    """Of the names of all training images, in order: one in `HELD_OUT`."""
    return set(np.random.default_rng(SEED).permutation(files)[: len(files) // HELD_OUT].tolist())


def balanced(cells: Sequence[Cell], most: int | None = None) -> list[Cell]:
    """As many of each class as the rarest has, and at most `most`, drawn by `SEED`; nested for rising `most`."""
    rng = np.random.default_rng(SEED)
    every = [[cell for cell in cells if cell.label == label] for label in range(len(CLASSES))]
    num = min(map(len, every))
    num = num if most is None else min(num, most)
    return [of[i] for of in every for i in sorted(rng.permutation(len(of))[:num])]


def write(cells: Sequence[Cell], folder: Path) -> Path:
    """The cells as PNG files in a folder for each class, as `Folder(classes=True)` reads them."""
    for i, cell in enumerate(cells):
        path = folder / CLASSES[cell.label] / f"{Path(cell.file).stem}_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cell.image).save(path)
    return folder
