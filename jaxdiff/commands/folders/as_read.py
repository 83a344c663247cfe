"""An input as it was read: its checksum is taken before, and afterwards the file must still be the same one."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import only_image, read
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.files.regular_file import status
from jaxdiff.durable import sha256

RECENT = 2_000_000_000
"""Nanoseconds after a change in which another one may leave the same time: some file systems count in twos of seconds."""

Stamp = tuple[int, ...]


def stamp(path: Path) -> Stamp:
    """What the system says of the state of a file; another one after every change, but within `RECENT` of the last.

    Raises UnreadableError for what is no file.
    """
    of_file = status(path)
    return of_file.st_dev, of_file.st_ino, of_file.st_size, of_file.st_mtime_ns, of_file.st_ctime_ns


class AsRead:
    """The state of a file before it is read; `check` after reading tells whether the checksum is that of what was read."""

    def __init__(self, path: Path):
        """Raises UnreadableError for what is no file, OSError where it cannot be read."""
        self.path, self.stamp = path, stamp(path)
        self._sure = time.time_ns() - max(self.stamp[-2:]) > RECENT
        self.sha256 = _digest(path, self.stamp) if self._sure else sha256(path)

    def check(self) -> None:
        """Raises DataError where the file is no longer what it was."""
        try:
            same = stamp(self.path) == self.stamp and (self._sure or sha256(self.path) == self.sha256)
        except (DataError, OSError):
            same = False
        if not same:
            raise DataError(
                f"{self.path}, which changed while it was read",
                "a file at rest",
                "wait until it is whole, then --resume",
            )


class ReadFile(NamedTuple):
    """An image file that all results of a folder depend on."""

    pixels: np.ndarray
    """(*spatial, C)."""
    sha256: str
    notes: tuple[str, ...]
    """What its reader says of it, with its name."""


@functools.lru_cache(maxsize=4)
def read_once(path: Path, check: Callable[[ImageFile], None], readers: Readers = BUILT_IN) -> ReadFile:
    """The one image of a file.

    check: raises DataError for a file whose pixels are not what is asked for.
    """
    source = AsRead(path)
    image = only_image(path, readers=readers)
    check(image)
    pixels = read(image)
    source.check()
    return ReadFile(pixels, source.sha256, tuple(f"{path}: {note}" for note in image.notes))


@functools.lru_cache(maxsize=1)
def _digest(path: Path, at: Stamp) -> str:
    """Computed once for the images of one file."""
    return sha256(path)
