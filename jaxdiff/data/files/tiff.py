"""TIFF, ImageJ TIFF and OME-TIFF in.

A file is walked first (`tiff_walk`), so that its bytes bound what it promises. OME-XML is read here (`ome_stacks`), so
that no other file is opened; tifffile finds the stacks of other formats (`tiff_stacks`), and decodes pixels (`tiff_planes`).
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import tifffile

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.axes import layout
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.ome import checked_xml, is_ome
from jaxdiff.data.files.ome_stacks import ome_stacks
from jaxdiff.data.files.photometric import meaning
from jaxdiff.data.files.regular_file import guarded, open_regular
from jaxdiff.data.files.tiff_pages import Pages, damaged
from jaxdiff.data.files.tiff_planes import StoredPlanes, planes_of
from jaxdiff.data.files.tiff_stacks import Stack, refuse_unfinished, stacks
from jaxdiff.data.files.tiff_walk import read_pages

SYNTHETIC = "jaxdiff:synthetic"  # the name of the OME annotation that marks generated images
LARGE = 2**28
"""Bytes of a decoded image from which it is decoded into a file, where one is given."""
_logged = threading.local()
"""`texts`: where a thread listens, what tifffile has logged in it."""


@dataclass(frozen=True)
class Tiff:
    """Reader of TIFF, BigTIFF, ImageJ TIFF and OME-TIFF (`jaxdiff.data.files.readers.Reader`)."""

    suffixes: ClassVar[tuple[str, ...]] = (".tif", ".tiff")

    def inspect(self, path: Path, axes: str | None) -> list[ImageFile]:
        return inspect_tiff(path, axes)

    def read(self, image: ImageFile, index: int, scratch: Path | None) -> np.ndarray:
        return read_tiff(image, index, scratch)


def inspect_tiff(path: Path, axes: str | None = None) -> list[ImageFile]:
    """Every series of a TIFF file, from its header only.

    Raises UnreadableError for a file that is damaged, incomplete or not a TIFF, DataError for axes that are not known and
    for pixels that are no light (`jaxdiff.data.files.photometric`).
    """
    with _opened(path) as (handle, messages):
        pages = read_pages(path, handle, os.fstat(handle.fileno()).st_size)
        with _decoder(handle) as file:
            series, notes = _stacks(file, pages, axes)
            notes += [text for level, text in messages if level < logging.ERROR]
            if unwritten := sum(page.unwritten for page in pages.chain):
                notes.append(f"{unwritten} tiles were never written, and are read as zeros")
            result = []
            for i, stack in enumerate(series):
                where = str(path) if len(series) == 1 else f"{path}, series {i}"
                result.append(
                    _image(where, path, pages=pages, number=i, stack=stack, axes=axes, notes=notes if i == 0 else [])
                )
    return result


def read_tiff(image: ImageFile, index: int, scratch: Path | None = None) -> np.ndarray:
    """Image `index` of a series, (*spatial, C); only its own planes are decoded where the layout allows.

    scratch: a file into which a large series is decoded, strip by strip; the array is then a view of it.
    """
    with _opened(image.path) as (handle, _), _decoder(handle) as file:
        return planes_of(
            file, handle, place=image.layout, planes=image.pixels, index=index, scratch=scratch, large=LARGE
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, list[tuple[int, str]]]]:
    """An open TIFF and what tifffile says of it.

    Whatever goes wrong, or is only logged as an error (of a truncated file tifffile may return a part), is UnreadableError.
    """
    with open_regular(path) as handle, _heard() as messages, guarded(path, "TIFF"):
        try:
            yield handle, messages
        except DataError as error:
            if errors := _errors(messages):  # what is left of a truncated file may look like another kind of file
                raise damaged(path, errors[0]) from error
            raise
        if errors := _errors(messages):
            raise damaged(path, errors[0])


class _Unheard(logging.Filter):
    """Keeps what is logged in a thread that listens from every other handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        texts = getattr(_logged, "texts", None)
        if texts is None:
            return True
        if record.levelno >= logging.WARNING:
            texts.append((record.levelno, record.getMessage()))
        return False


logging.getLogger("tifffile").addFilter(_Unheard())


@contextmanager
def _heard() -> Iterator[list[tuple[int, str]]]:
    """The warnings and errors (level, text) that tifffile logs in this thread, which then go nowhere else."""
    before, _logged.texts = getattr(_logged, "texts", None), []
    try:
        yield _logged.texts
    finally:
        _logged.texts = before


def _errors(messages: list[tuple[int, str]]) -> list[str]:
    return [text for level, text in messages if level >= logging.ERROR]


def _decoder(handle: BinaryIO) -> tifffile.TiffFile:
    """tifffile on an open file, without the formats for which it would open those that this one names."""
    handle.seek(0)
    return tifffile.TiffFile(handle, is_ome=False, is_mmstack=False, is_ndtiff=False)


def _stacks(file: tifffile.TiffFile, pages: Pages, axes: str | None) -> tuple[list[Stack], list[str]]:
    text = pages.description
    if text.lstrip().startswith("<"):
        checked_xml(pages.path, text)
    refuse_unfinished(file, pages)
    if not is_ome(text):
        return stacks(file, pages)
    series, notes = ome_stacks(file, pages)
    if series:
        return series, notes
    if axes is None:
        raise UnreadableError(
            f"{pages.path}: {notes[0]}",
            "metadata of its own",
            "name its axes with axes=..., or save it anew",
        )
    series, more = stacks(file, pages)
    return series, notes + more


def _image(
    where: str, path: Path, pages: Pages, number: int, stack: Stack, axes: str | None, notes: list[str]
) -> ImageFile:
    """A stack as an ImageFile."""
    means = meaning(where, stack.page, np.dtype(stack.dtype), pages.colours)
    own = stack.axes
    if means.channels and "C" not in own:
        own = own.replace("S", "C")
    if 0 in stack.shape:
        raise damaged(path, f"an image of shape {stack.shape}")
    place = layout(where, own, stack.shape, axes)
    names = stack.channel_names if len(stack.channel_names) == place.image_shape[-1] else ()
    return ImageFile(
        path,
        number,
        layout=place,
        dtype=stack.dtype,
        channel_names=names,
        pixel_size=stack.pixel_size,
        unit=stack.unit,
        synthetic=SYNTHETIC in pages.description,
        notes=tuple(dict.fromkeys((*notes, *stack.notes, *means.notes))),
        palette=means.palette,
        inverted=means.highest is not None,
        pixels=StoredPlanes(
            stack.dtype,
            stack.of_page,
            offsets=stack.offsets,
            one_piece=stack.one_piece,
            start=stack.start,
            number=stack.number,
            byteorder=pages.byteorder,
            highest=means.highest,
        ),
    )
