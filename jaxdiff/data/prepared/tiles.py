"""Cutting large images into tiles."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from jaxdiff.data.patches import Record, check_whole, common_factor, crop, pixel_factors


def tiles(record: Record, tile: Sequence[int] | None, rank: int) -> Iterator[Record]:
    """The tiles of a record, all its arrays cut alike, in native byte order; one, of its name, where it is no larger.

    Along an axis of n pixels lie ceil(n / tile) tiles, spread evenly from end to end: all pixels are covered, neighbours
    overlap where n is no multiple. Names tell the first pixel. Raises DataError for a tile that cuts pixels of the input.
    """
    spatial = record["image"].shape[:rank]
    factors = pixel_factors(record, rank)
    common = common_factor(factors)
    size = spatial if tile is None else tuple(tile)
    fits = all(n <= t for n, t in zip(spatial, size))
    if not fits:
        check_whole([min(n, t) for n, t in zip(spatial, size)], common, record["name"])
    axes = "zyx"[3 - rank :]
    for starts in itertools.product(*map(_starts, spatial, size, common)):
        place = tuple(slice(s, min(s + t, n)) for s, t, n in zip(starts, size, spatial))
        cut = crop(record, place, factors)
        cut |= {name: np.ascontiguousarray(cut[name], cut[name].dtype.newbyteorder("=")) for name in factors}
        where = ", ".join(f"{axis} {start}" for axis, start in zip(axes, starts))
        yield cut if fits else {**cut, "name": f"{record['name']} ({where})"}


def number(spatial: Sequence[int], tile: Sequence[int] | None) -> int:
    """How many tiles an image has."""
    return 1 if tile is None else math.prod(math.ceil(n / t) for n, t in zip(spatial, tile))


def _starts(n: int, tile: int, factor: int) -> list[int]:
    count = math.ceil(n / tile)
    last = n - tile
    return [last * i // (count - 1) // factor * factor for i in range(count)] if count > 1 else [0]
