"""The pixels of one image of a TIFF, plane by plane."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.axes import SEPARATE, Layout
from jaxdiff.data.files.codec_size import HEAD, said_size
from jaxdiff.data.files.promised import check_fits, memory

_PICTURES = (7, 34892, 33007, 33003, 33004, 33005, 34712, 50001, 34927, 34933, 50002, 52546)
"""Compressions whose code has a size of its own: JPEG, JPEG 2000, WebP, PNG, JPEG XL."""


@dataclass(frozen=True)
class StoredPlanes:
    """Where the planes of a series are, and how their numbers become light."""

    dtype: str
    of_page: int
    """Numbers of one plane."""
    offsets: np.ndarray | None
    """Of the pages of the planes, slowest axis first."""
    one_piece: bool
    """Whether the strips of each page follow each other: tifffile's short way to read pages takes it from the first."""
    start: int | None
    """Of planes that follow each other without compression."""
    number: int
    """Of tifffile's series, where neither is known."""
    byteorder: str
    highest: int | None
    """Light is this minus the numbers, where white is zero."""


def planes_of(
    file: tifffile.TiffFile,
    handle: BinaryIO,
    place: Layout,
    planes: StoredPlanes,
    index: int,
    scratch: Path | None,
    large: int,
) -> np.ndarray:
    """Image `index`, (*spatial, C), decoded into memory, or from `large` bytes on into the file `scratch`.

    Raises UnreadableError for one that is larger than the machine's memory, without a `scratch`.
    """
    numbers, one = _own(place, planes.of_page, index)
    if numbers is None:  # the image is not made of whole planes
        numbers = np.arange(math.prod(place.shape) // planes.of_page)
    dtype, size = np.dtype(planes.dtype), math.prod(one.shape)
    aside = scratch is not None and size * dtype.itemsize >= min(large, memory())
    if not aside:  # all images of the series, where one is not made of whole planes
        check_fits(size * dtype.itemsize, handle.name)
    array = _empty(size, dtype, scratch if aside else None)
    _decode(file, handle, planes, numbers, array.reshape(len(numbers), -1))
    if planes.highest is not None:
        np.subtract(planes.highest, array, out=array)
    return one.images(array, copy=not aside)[index if one is place else 0]


def _own(place: Layout, of_page: int, index: int) -> tuple[np.ndarray | None, Layout]:
    """The numbers of the planes of one image, and its layout; None where one plane holds parts of several images."""
    shape, axes = place.shape, place.axes
    lead = next((i for i in range(len(shape) + 1) if math.prod(shape[i:]) == of_page), None)
    if lead is None or any(a in SEPARATE and n > 1 for a, n in zip(axes[lead:], shape[lead:])):
        return None, place
    order = [i for i in range(lead) if axes[i] in SEPARATE] + [i for i in range(lead) if axes[i] not in SEPARATE]
    numbers = np.arange(math.prod(shape[:lead])).reshape(shape[:lead]).transpose(order).reshape(place.number, -1)[index]
    own = [i for i in range(len(axes)) if axes[i] not in SEPARATE]
    return numbers, Layout("".join(axes[i] for i in own), tuple(shape[i] for i in own))


def _decode(
    file: tifffile.TiffFile, handle: BinaryIO, planes: StoredPlanes, numbers: np.ndarray, out: np.ndarray
) -> None:
    """Planes one after the other into `out`, (planes, numbers of a plane)."""
    if planes.start is not None:
        stored = np.dtype(planes.dtype).newbyteorder(planes.byteorder)  # pyright: ignore[reportArgumentType]
        length = planes.of_page * stored.itemsize
        for number, plane in zip(numbers.tolist(), out):
            handle.seek(planes.start + number * length)
            plane[:] = np.frombuffer(handle.read(length), stored)
        return
    for page, plane in zip(_pages(file, planes, numbers.tolist()), out):
        _check_pictures(handle, page)
        page.asarray(out=plane.reshape(page.shape))


def _pages(file: tifffile.TiffFile, planes: StoredPlanes, numbers: list[int]) -> Iterator[Any]:
    """The pages of planes."""
    if planes.offsets is None:
        of_series = file.series[planes.number]._pages
        yield from (of_series[number] for number in numbers)
        return
    offsets = planes.offsets[numbers].tolist()
    if not planes.one_piece:
        yield from (page_at(file, offset) for offset in offsets)
        return
    key = page_at(file, int(planes.offsets[0]))
    for offset in offsets:
        yield key if offset == key.offset else tifffile.TiffFrame(file, 1, offset=offset, keyframe=key)


def _check_pictures(handle: BinaryIO, page: Any) -> None:
    """Raises UnreadableError for a strip or tile whose code is of a larger picture, which a codec would allocate."""
    if page is None or page.keyframe.compression not in _PICTURES:
        return
    key = page.keyframe
    rows, columns = (key.tilelength, key.tilewidth) if key.is_tiled else (key.rowsperstrip, key.imagewidth)
    for start, count in zip(page.dataoffsets, page.databytecounts):
        handle.seek(start)
        size = said_size(handle.read(min(count, HEAD)))
        if size is not None and math.prod(size) > 2 * rows * columns + HEAD:
            raise UnreadableError(
                f"{handle.name}, with a piece of {rows} x {columns} pixels that is coded as {size[0]} x {size[1]}",
                "a whole TIFF file",
                "copy it again or remove it",
            )


def page_at(file: tifffile.TiffFile, offset: int) -> Any:
    """The page whose tags are at an offset."""
    if offset == file.pages.first.offset:
        return file.pages.first
    file.filehandle.seek(offset)
    return tifffile.TiffPage(file, 1)


def _empty(size: int, dtype: np.dtype, scratch: Path | None) -> np.ndarray:
    if scratch is None:
        return np.empty(size, dtype)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.unlink(missing_ok=True)
    return np.memmap(scratch, dtype, "w+", shape=(size,))
