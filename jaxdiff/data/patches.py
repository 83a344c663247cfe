"""Binning, and random patches in random orientations.

Orientations are flips of every spatial axis and the exchange of y and x: together the eight flips and quarter turns of
the plane. y and x are exchanged only when their pixels have the same size (or both sizes are unknown); z is flipped
but never turned into the plane, as a microscope does not see along z as it does across.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo

Record = dict[str, Any]
Batch = dict[str, np.ndarray]


def bin_image(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor² pixels in y and x of (*spatial, C), float32; rows that do not fill a bin are left out."""
    if factor == 1:
        return image
    return _blocks(image, factor).mean(axis=(-4, -2), dtype=np.float64).astype(np.float32)


def bin_mask(mask: np.ndarray, factor: int) -> np.ndarray:
    """The most frequent label of factor² pixels in y and x of (*spatial); the higher label of a tie."""
    if factor == 1:
        return mask
    blocks = _blocks(mask[..., None], factor)[..., 0].swapaxes(-3, -2)
    labels = np.sort(blocks.reshape(*blocks.shape[:-2], factor * factor), axis=-1)
    best, votes = labels[..., 0], np.zeros(labels.shape[:-1], np.int64)
    for k in range(labels.shape[-1]):
        count = (labels == labels[..., k, None]).sum(axis=-1)
        best = np.where(count >= votes, labels[..., k], best)
        votes = np.maximum(votes, count)
    return best


def _blocks(array: np.ndarray, factor: int) -> np.ndarray:
    """(..., Y, X, C) -> (..., Y / factor, factor, X / factor, factor, C)."""
    *lead, height, width, channels = array.shape
    height, width = height // factor, width // factor
    array = array[..., : height * factor, : width * factor, :]
    return array.reshape(*lead, height, factor, width, factor, channels)


def check_patch(patch: Sequence[int], info: DataInfo) -> tuple[int, ...]:
    """The patch as a tuple. Raises DataError unless it has a positive size for each spatial axis of the data."""
    patch = tuple(int(n) for n in patch)
    if len(patch) != len(info.spatial) or min(patch) < 1:
        raise DataError(
            f"patch {patch} for images with axes {info.axes}",
            f"{len(info.spatial)} positive sizes, one for each of {info.spatial}",
            "give the patch one size for each axis",
        )
    return patch


def turnable(info: DataInfo) -> bool:
    """Whether y and x may be exchanged: pixels of one size, or both unknown."""
    y, x = info.pixel_size["Y"], info.pixel_size["X"]
    return y == x or (y is not None and x is not None and bool(np.isclose(y, x, rtol=1e-3, atol=0.0)))


def random_patch(
    record: Record, patch: tuple[int, ...], rng: np.random.Generator, augment: bool = True, turn: bool = True
) -> Record:
    """A patch of a record at a uniformly random place and, with `augment`, in a random orientation, of all its arrays.

    Arrays have the image's pixels or a whole fraction of them, and are cut where they coincide. With `turn` False, or
    where the image is too small for a turned patch, y and x are not exchanged.
    """
    rank = len(patch)
    spatial = record["image"].shape[:rank]
    arrays = {name: value for name, value in record.items() if isinstance(value, np.ndarray) and value.ndim >= rank}
    factors = {name: tuple(n // m for n, m in zip(spatial, array.shape)) for name, array in arrays.items()}
    common = tuple(int(np.lcm.reduce(one)) for one in zip(*factors.values()))
    turned = (*patch[:-2], patch[-1], patch[-2])
    exchange = augment and turn and all(n >= p for n, p in zip(spatial, turned)) and bool(rng.integers(2))
    size = turned if exchange else patch
    start = tuple(f * int(rng.integers((n - p) // f + 1)) for n, p, f in zip(spatial, size, common))
    flips = tuple(slice(None, None, -1 if augment and rng.integers(2) else 1) for _ in patch)

    def cut(array: np.ndarray, factor: tuple[int, ...]) -> np.ndarray:
        array = array[tuple(slice(s // f, (s + p) // f) for s, p, f in zip(start, size, factor))]
        if exchange:
            array = array.swapaxes(rank - 2, rank - 1)
        return array[flips]

    return {**record, **{name: cut(array, factors[name]) for name, array in arrays.items()}}
