"""Which reader an image file has, by the end of its name: ours, and those of a person's own.

A format is a file of this folder with its reader, and one line of `OURS`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.png import Png
from jaxdiff.data.files.tiff import Tiff


class Reader(Protocol):
    """How files of one format are read. One of your own is a frozen dataclass with these three.

    Both methods are called with what is a file, and whatever they raise is said of it as an UnreadableError. What they
    return is held against what was promised: images of axes, shape and type as `inspect` says, no larger than the memory.
    Nothing of a file is cast, resized or guessed on the way. A reader of files whose metadata may not say all takes `axes`.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Ends of the names of its files, in small letters: (".npy",)."""

    def inspect(self, path: Path, axes: str | None) -> list[ImageFile]:
        """Every series of a file, without its pixels; `axes`, where a person says them, take the place of the file's.

        `jaxdiff.data.files.axes.layout` checks both, and asks for axes that nothing tells.
        """
        ...

    def read(self, image: ImageFile, index: int, scratch: Path | None) -> np.ndarray:
        """Image `index` of a series that `inspect` gave: (*spatial, C), of the type promised.

        scratch: where there is one, a file into which a large image may be decoded; the array is then a view of it.
        """
        ...


OURS: tuple[Reader, ...] = (Tiff(), Png())


class Readers:
    """Our readers and those of a person's own, which come first."""

    def __init__(self, own: Iterable[Reader] = ()):
        """Raises DataError for what is no reader, and for two of one's own for one end of names."""
        self.own = tuple(own)
        self._of: dict[str, Reader] = {}
        for reader in self.own:
            for suffix in _suffixes(reader):
                if suffix in self._of:
                    raise DataError(f"two readers of {suffix} files", "one", "leave one out")
                self._of[suffix] = reader
        for reader in OURS:
            self._of = {suffix: reader for suffix in reader.suffixes} | self._of

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of all files that are read, ours first."""
        built_in = [suffix for reader in OURS for suffix in reader.suffixes]
        return (*built_in, *(suffix for suffix in self._of if suffix not in built_in))

    def suffix(self, path: Path) -> str | None:
        """The longest one that a file's name ends in; None for a file that has no reader."""
        name = path.name.lower()
        return max((one for one in self._of if name.endswith(one) and name != one), key=len, default=None)

    def of(self, path: Path) -> Reader | None:
        """The reader of a file, by its name."""
        suffix = self.suffix(path)
        return None if suffix is None else self._of[suffix]


BUILT_IN = Readers()


def _suffixes(reader: Reader) -> tuple[str, ...]:
    suffixes = getattr(reader, "suffixes", None)
    missing = [name for name in ("inspect", "read") if not callable(getattr(reader, name, None))]
    if isinstance(reader, type) or missing or suffixes is None:
        what = f"the class {reader.__name__}" if isinstance(reader, type) else f"a {type(reader).__name__}"
        raise DataError(
            f"{what} as a reader", "an object with suffixes, inspect and read", "see docs/howto.md, a file format"
        )
    if not isinstance(suffixes, tuple) or not suffixes or not all(map(_is_suffix, suffixes)):
        raise DataError(
            f"suffixes {suffixes!r} of {type(reader).__name__}",
            "a tuple of ends of names in small letters",
            'suffixes = (".npy",)',
        )
    return suffixes


def _is_suffix(text: object) -> bool:
    return isinstance(text, str) and text.startswith(".") and len(text) > 1 and text == text.lower() and "/" not in text
