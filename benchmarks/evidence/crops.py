"""Crops to compare: real ones from the fields of a split, generated ones from files, all in whole grey levels."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from jaxdiff.data.errors import DataError
from jaxdiff.data.patches import bin_image, bin_mask
from jaxdiff.data.sources.bbbc039 import WELL


@dataclass(frozen=True)
class Fields:
    """The fields of one split: images (Y, X) int64 in grey levels, the well of each, masks (Y, X) where asked for."""

    images: list[np.ndarray]
    wells: list[str]
    masks: list[np.ndarray] | None = None


@dataclass(frozen=True)
class Crops:
    """Crops (N, Y, X) int64 in grey levels; `groups` (N,) names what a bootstrap draws: a crop's well, or itself."""

    images: np.ndarray
    groups: np.ndarray


def load_fields(path: str | Path, split: str, binning: int, masks: bool = False) -> Fields:
    """The fields of path/split/images, binned, and rounded to whole grey levels as generated files are.

    Raises DataError where there are none, or where a file's name has no well.
    """
    files = sorted((Path(path) / split / "images").glob("*.tif"))
    if not files:
        raise DataError(f"{path} without {split}/images/*.tif", "the BBBC039 folder", "give its path with --data")
    wells = [re.search(WELL, file.name) for file in files]
    if not all(wells):
        raise DataError(f"{files[wells.index(None)].name}", "names such as x_B04_y.tif", "give the BBBC039 folder")
    images = [whole(bin_image(tifffile.imread(file)[..., None], binning)[..., 0]) for file in files]
    labels = None
    if masks:
        labels = [bin_mask(tifffile.imread(Path(path) / split / "masks" / f.name), binning) for f in files]
    return Fields(images, [well.group(1) for well in wells if well], labels)


def whole(images: np.ndarray) -> np.ndarray:
    """Grey levels rounded to int64. Raises DataError for NaN and infinity."""
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        bad = int(np.count_nonzero(~np.isfinite(images)))
        raise DataError(f"{bad} NaN or infinite pixels", "finite grey levels", "sample again")
    return np.rint(images).astype(np.int64)


def draw(fields: Fields, num: int, size: int, rng: np.random.Generator) -> tuple[Crops, np.ndarray | None]:
    """`num` crops of size x size, equally many a field (to within one), and their masks if the fields have any.

    Crops of a field do not overlap: they are tiles of a grid at a random offset. Their order is random. Raises
    DataError if a field has too few.
    """
    share = np.full(len(fields.images), num // len(fields.images))
    share[rng.permutation(len(share))[: num - share.sum()]] += 1
    images, masks, groups = [], [], []
    for i, (image, number) in enumerate(zip(fields.images, share)):
        rows, columns = (n // size for n in image.shape)
        if number > rows * columns:
            raise DataError(f"{num} crops", f"at most {rows * columns} of each field", "lower --num")
        top, left = (int(rng.integers(n % size + 1)) for n in image.shape)
        for tile in rng.choice(rows * columns, size=number, replace=False):
            y, x = top + tile // columns * size, left + tile % columns * size
            images.append(image[y : y + size, x : x + size])
            groups.append(fields.wells[i])
            if fields.masks is not None:
                masks.append(fields.masks[i][y : y + size, x : x + size])
    order = rng.permutation(num)
    return Crops(np.stack(images)[order], np.array(groups)[order]), np.stack(masks)[order] if masks else None


def load_samples(path: str | Path, num: int, size: int) -> Crops:
    """Generated images, from a folder of TIFFs, an .npy or an .npz, in grey levels of the data.

    Raises DataError unless they are `num` one-channel images of size x size, and no network units (their median is that
    of a dark background, which the camera's offset puts above 100).
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in (".tif", ".tiff"))
        images = [tifffile.imread(f).squeeze() for f in files]
        if len({image.shape for image in images}) != 1:
            raise DataError(f"{len(images)} TIFFs, not all of one shape, in {path}", "one shape", "sample again")
        array = np.stack(images)
    elif path.suffix in (".npy", ".npz") and path.is_file():
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array = array["images" if "images" in array.files else array.files[0]]
        array = array[..., 0] if array.ndim == 4 and array.shape[-1] == 1 else array
    else:
        raise DataError(f"{path}", "a folder of TIFFs, an .npy or an .npz", "correct --samples")
    if array.shape != (num, size, size):
        raise DataError(
            f"samples of shape {array.shape} in {path}",
            f"({num}, {size}, {size}), one channel",
            "set --num and --size to what was sampled",
        )
    if np.median(array) < 50:
        raise DataError(f"samples of median {np.median(array):.3g}", "grey levels of BBBC039", "invert the normaliser")
    return Crops(whole(array), np.arange(num))


def sampling_record(path: str | Path) -> dict[str, object]:
    """What the JSON beside generated images says of their making, without folders; {} where there is none."""
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else []
    return {f.name: _without_folders(json.loads(f.read_text(encoding="utf-8"))) for f in files}


def run_digest(path: str | Path) -> str | None:
    """SHA-256 of the run.json (config, network, normaliser) that the images in a folder were sampled from, if found."""
    record = Path(path) / "generate.json"
    if not record.is_file():
        return None
    run = json.loads(record.read_text(encoding="utf-8")).get("options", {}).get("run")
    file = Path(run) / "run.json" if run else None
    return hashlib.sha256(file.read_bytes()).hexdigest() if file is not None and file.is_file() else None


def _without_folders(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_folders(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_folders(v) for v in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
