"""Binning, and random patches in random orientations.

Orientations are flips of every spatial axis and the exchange of y and x: together the eight flips and quarter turns of
the plane. y and x are exchanged only when their pixels have the same size (or both sizes are unknown) in all arrays of
a record; z is flipped but never turned into the plane, as a microscope does not see along z as it does across.
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

    Arrays have the image's pixels or a whole fraction of them (`pixel_factors`), and are cut where they coincide. y and x
    are not exchanged with `turn` False, where the image is too small for a turned patch, or where the fraction of an
    array is another in y than in x. "augmentation" tells what was done: float32, 1 for each axis that was flipped, and a
    last 1 where y and x were exchanged before. Raises DataError for a patch that cuts through pixels of an array.
    """
    rank = len(patch)
    spatial = record["image"].shape[:rank]
    factors = pixel_factors(record, rank)
    common = common_factor(factors)
    check_whole(patch, common, record["name"])
    turned = (*patch[:-2], patch[-1], patch[-2])
    fits = all(n >= p for n, p in zip(spatial, turned)) and all(f[-2] == f[-1] for f in factors.values())
    exchange = augment and turn and fits and bool(rng.integers(2))
    size = turned if exchange else patch
    start = tuple(f * int(rng.integers((n - p) // f + 1)) for n, p, f in zip(spatial, size, common))
    flipped = tuple(augment and bool(rng.integers(2)) for _ in patch)
    flips = tuple(slice(None, None, -1 if one else 1) for one in flipped)

    def orient(array: np.ndarray) -> np.ndarray:
        return (array.swapaxes(rank - 2, rank - 1) if exchange else array)[flips]

    cut = crop(record, tuple(slice(s, s + p) for s, p in zip(start, size)), factors)
    done = {"augmentation": np.array([*flipped, exchange], np.float32)}
    return {**cut, **{name: orient(cut[name]) for name in factors}, **done}


def pixel_factors(record: Record, rank: int) -> dict[str, tuple[int, ...]]:
    """For each array of a record, the pixels of the image that one of its pixels covers along each spatial axis.

    Raises DataError, naming the record, where these are no whole numbers.
    """
    spatial = record["image"].shape[:rank]
    factors = {}
    for name, array in record.items():
        if not isinstance(array, np.ndarray) or array.ndim < rank:
            continue
        if any(m < 1 or n % m for n, m in zip(spatial, array.shape)):
            raise DataError(
                f"{record['name']} of {spatial} pixels with its {name} of {array.shape[:rank]}",
                "as many pixels along each axis, or whole times fewer",
                "crop both to the same field, of a multiple of the coarser pixels",
            )
        factors[name] = tuple(n // m for n, m in zip(spatial, array.shape))
    return factors


def common_factor(factors: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Pixels of the image, along each axis, after which pixels of all arrays begin."""
    return tuple(int(np.lcm.reduce(one)) for one in zip(*factors.values()))


def check_whole(patch: Sequence[int], factor: Sequence[int], what: str) -> None:
    """Raises DataError for a patch that is no whole number of the pixels that cover `factor` pixels of the image."""
    if any(p % f for p, f in zip(patch, factor)):
        raise DataError(
            f"patch {tuple(patch)} of {what}, where one pixel of the input covers {tuple(factor)} of the image",
            "a multiple of these along each axis",
            f"patch {tuple(max(1, round(p / f)) * f for p, f in zip(patch, factor))}",
        )


def crop(record: Record, place: tuple[slice, ...], factors: dict[str, tuple[int, ...]]) -> Record:
    """All arrays of a record at `place`, slices of the image along each axis in multiples of the common factor."""

    def cut(array: np.ndarray, factor: tuple[int, ...]) -> np.ndarray:
        return array[tuple(slice(s.start // f, s.stop // f) for s, f in zip(place, factor))]

    return {**record, **{name: cut(record[name], factor) for name, factor in factors.items()}}
