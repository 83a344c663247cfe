"""The `--readers` of a command, by place: inside Python, pass objects."""

import functools
from dataclasses import dataclass
from typing import Any

from jaxdiff.data.files.readers import Readers
from jaxdiff.parts import at_place


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """Options of every command that reads image files."""

    readers: tuple[str, ...] = ()
    """Readers of other formats, your own: package.module:Class, or file.py:Class."""

    @property
    def all_readers(self) -> Readers:
        """Ours and those. Raises ValueError for what cannot be imported or made, or is no reader."""
        return readers_named(self.readers)


@functools.cache
def readers_named(places: tuple[str, ...]) -> Readers:
    """Our readers and, made without arguments, those of class `package.module:Class` or `file.py:Class`.

    Raises ValueError for what cannot be imported or made, or is no reader.
    """
    return Readers([_made(place, at_place(place, "reader")) for place in places])


def _made(place: str, cls: Any) -> Any:
    if not isinstance(cls, type):
        return cls
    try:
        return cls()
    except Exception as error:
        raise ValueError(
            f"got reader {place!r}, which cannot be made ({type(error).__name__}: {error}); expected a class that needs no "
            "arguments, or an object; to fix: give its fields defaults, or name an object of the module"
        ) from error
