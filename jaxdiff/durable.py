"""Files that are there whole or not at all, whenever the process dies: written aside, flushed to disk, then renamed."""

import contextlib
import errno
import hashlib
import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.malformed import FIX, parsed

LIMIT = 2**28
"""Bytes of a JSON file that is read, unless its reader expects more."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException) -> bool:
    """Whether a failed write means that there is no space, or no more of it for this person."""
    return isinstance(error, OSError) and error.errno in FULL


def with_number(error: BaseException) -> BaseException:
    """array_record's errors are texts; those of a full disk get the system's number back."""
    for number in FULL:
        if isinstance(error, RuntimeError) and os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return error


def write_bytes(path: Path, data: bytes | memoryview, aside: Path) -> None:
    """`data` as `path`, by way of the file `aside` on the same file system. Raises OSError, leaving nothing behind."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        with aside.open("wb") as file:
            file.write(data)
        publish(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)  # on a full disk this gives the space back
        raise


def publish(aside: Path, path: Path) -> None:
    """Renames a finished file to `path` once its bytes, and then once the new name, are on the disk."""
    _flush(aside)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(aside, path)
    _flush(path.parent)


def write_json(path: Path, values: Any) -> None:
    """JSON as `path`, replacing what is there."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    write_bytes(path, json.dumps(values, indent=1).encode(), aside)


def create_json(path: Path, values: Any) -> bool:
    """JSON as `path` if there is no such file yet; whether it was this process that made it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        aside.write_bytes(json.dumps(values, indent=1).encode())
        _flush(aside)
        os.link(aside, path)  # unlike a rename, this fails where another process was first
        return True
    except FileExistsError:
        return False
    finally:
        aside.unlink(missing_ok=True)


def read_json(path: Path, limit: int = LIMIT, fix: str = "restore it, or start anew in another folder") -> Any:
    """The values of a JSON file of at most `limit` bytes; `fix` says what to do where it is none.

    Raises FileNotFoundError, and ValueError, naming the file, where it is no file, too large, or no JSON (`parsed`).
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError as error:  # such as a link to itself
        raise ValueError(
            f"got {path}, which cannot be opened ({error.strerror}); expected JSON; to fix: {fix}"
        ) from error
    if not stat.S_ISREG(status.st_mode):  # to open a named pipe would wait for its other end
        raise ValueError(f"got {path}, which is no file; expected JSON; to fix: remove it")
    if status.st_size > limit:
        raise ValueError(f"got {path} of {status.st_size} bytes; expected at most {limit} bytes of JSON; to fix: {FIX}")
    try:
        return parsed(path.read_bytes())
    except ValueError as error:
        reason = str(error).removeprefix("got ").partition("; expected ")[0]
        raise ValueError(f"got an unreadable {path} ({reason}); expected JSON; to fix: {fix}") from error


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """JSON values with a checksum of them, `crc32`."""
    return {**values, "crc32": _crc32(values)}


def unsealed(values: Any) -> dict[str, Any]:
    """What `sealed` was given. Raises ValueError for anything else, such as values that were changed since."""
    if not isinstance(values, dict) or "crc32" not in values:
        raise ValueError(f"got values without a crc32; expected a checksum of them; to fix: {FIX}")
    inner = {name: value for name, value in values.items() if name != "crc32"}
    if type(values["crc32"]) is not int or values["crc32"] != _crc32(inner):
        raise ValueError(f"got a crc32 that is not that of the other values; expected them unchanged; to fix: {FIX}")
    return inner


def _crc32(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def sha256(path: Path) -> str:
    """Checksum of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32(array: np.ndarray, before: int = 0) -> int:
    """Checksum of an array's bytes, or of those that gave `before` and these."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, before)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse to flush a folder
            os.fsync(handle)
    finally:
        os.close(handle)
