"""Opening a file that a folder or a person names: only one that has bytes of its own."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.durable import is_full

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def status(path: Path) -> os.stat_result:
    """What the system says of a file. Raises UnreadableError for what is none: links to nothing, folders, pipes, devices."""
    with _named(path):
        result = path.stat()
    if not stat.S_ISREG(result.st_mode):
        raise _unreadable(path, _KINDS.get(stat.S_IFMT(result.st_mode), "no file"), "a file")
    return result


def open_regular(path: Path) -> BinaryIO:
    """An open file. Raises UnreadableError for what is none, as `status`; it never waits, as pipes would."""
    status(path)
    with _named(path):
        return open(
            os.fspath(path), "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What the system refuses becomes the file's UnreadableError."""
    try:
        yield
    except OSError as error:
        if path.is_symlink() and error.errno == errno.ENOENT:
            raise _unreadable(path, f"a link to {os.readlink(path)}, which does not exist", "a file") from error
        raise _unreadable(path, f"which cannot be opened ({error.strerror or error})", "a file") from error


@contextmanager
def guarded(path: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong with one file, in whatever library, becomes its UnreadableError; a full disk is no fault of it.

    kind: what the file should be, such as "TIFF".
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # from struct.error to a codec's own class, MemoryError and RecursionError among them
        if is_full(error):
            raise
        reason = str(error) or "no more is said"
        if isinstance(error, MemoryError):
            reason = f"there is not the memory for it; {reason}"
        raise _unreadable(
            path, f"which cannot be read ({type(error).__name__}: {reason})", f"a whole {kind} file"
        ) from error


def _unreadable(path: Path, what: str, expected: str) -> UnreadableError:
    return UnreadableError(f"{path}, {what}", expected, "copy it again or remove it")
