"""One writer at a time: a lock file in the folder that is written to, or beside the file.

The system holds the lock (flock on a file of its own, which is never replaced) and frees it with the process, however that
ends. The file says who has it, for the message of the next one; it is removed at the end. What a killed process leaves
of it is taken by the next writer. Readers take no lock.
"""

import contextlib
import datetime
import errno
import json
import os
import shlex
import socket
import stat
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxdiff import stopping

try:
    import fcntl
except ImportError:
    fcntl = None

NAME = ".jaxdiff.lock"
MOST = 4096
"""Bytes of a lock file that are read."""
BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


class LockedError(ValueError):
    """Another process writes there."""


@contextlib.contextmanager
def only_writer(
    path: str | Path, name: str = NAME, *, wait: bool = False, of: str | Path | None = None
) -> Iterator[None]:
    """This process as the only one that writes to the folder `path`, which is made if need be, while the block runs.

    name: of the lock file in it; another one for a part of the folder, which has writers of its own. wait: until the other
    one has ended, instead of refusing. of: what messages name as written to; default the folder.

    A folder that was made for the lock and is still empty in the end is removed. The lock belongs to the folder, whatever
    path leads there, and keeps out other threads, too. Where the file system has no locks a warning says so, and there is
    none; nor is there on Windows.
    Raises LockedError, which says who writes there, and OSError where nothing can be written.
    """
    folder = Path(path)
    before = _missing(folder)
    try:
        if fcntl is None:
            folder.mkdir(parents=True, exist_ok=True)
            yield
            return
        handle = _taken(folder, name, wait, folder if of is None else of)
        forget = stopping.undo_at_once(lambda: _clear([folder / name], before))
        try:
            yield
        finally:
            forget()
            _clear([folder / name])  # while it is held: who waits for this file sees that it is no longer there
            os.close(handle)
    finally:
        _clear([], before)


@contextlib.contextmanager
def only_writer_of(path: str | Path) -> Iterator[None]:
    """This process as the only one that makes the file (or folder) `path`, which does not exist yet: a lock beside it."""
    path = Path(path)
    with only_writer(path.parent, f".{path.name}.lock", of=path):
        yield


def numbered(path: Path) -> Path:
    """A new empty folder PATH_1, PATH_2, …: the first that no other process has."""
    number = 1
    while True:
        folder = path.with_name(f"{path.name}_{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def is_lock(path: Path) -> bool:
    """Whether a name is that of a lock file, which makes no folder a full one."""
    return path.name == NAME or path.name.startswith(f"{NAME}.")


def _clear(files: Iterable[Path], folders: Iterable[Path] = ()) -> None:
    """Removes what is there of these, and of the folders what is empty."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _missing(folder: Path) -> list[Path]:
    """`folder` and those above it that do not exist, the innermost first."""
    return [one for one in (folder, *folder.parents) if not os.path.lexists(one)]


def _taken(folder: Path, name: str, wait: bool, of: str | Path) -> int:
    """The open file of a lock that this process holds."""
    path, announced = folder / name, False
    while True:
        handle = _opened(folder, path)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise LockedError(f"got {path}, which is no file; expected a lock or nothing; to fix: remove it")
            if _locked(handle, folder):
                if _still_there(handle, path):
                    _sign(handle)
                    return handle
            elif not wait:
                raise LockedError(
                    f"got {of}, to which another process is writing ({_holder(handle)}); expected to be the only one; to "
                    "fix: wait for it, stop it, or choose another place"
                )
            else:
                if not announced:
                    print(f"waiting for who is writing to {of} ({_holder(handle)})", file=sys.stderr)
                announced = True
                time.sleep(0.2)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _opened(folder: Path, path: Path) -> int:
    """The file of the lock, made if need be."""
    # No link, and no pipe that would wait for its other end.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for last in (*[False] * 100, True):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o666)
        except OSError as error:
            # Another process, which had made the folder too, may have taken it away between the two lines.
            if isinstance(error, FileNotFoundError) and not last:
                continue
            refusal = type(error)(
                f"got {folder}, where nothing can be written ({error}); expected a folder for results; to fix: another "
                "folder, or its permissions"
            )
            refusal.errno = error.errno
            raise refusal from error
    raise AssertionError


def _locked(handle: int, folder: Path) -> bool:
    """Whether the lock could be had, or there is nothing that could lock."""
    assert fcntl is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            return False
        warnings.warn(
            f"the file system of {folder} has no locks ({error}): nothing keeps a second process from writing there",
            stacklevel=6,
        )
    return True


def _still_there(handle: int, path: Path) -> bool:
    """Whether the locked file is the one of that name: one that was removed meanwhile keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    """Says in the file who has it."""
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    command = shlex.join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])[:500]
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}
    with contextlib.suppress(OSError):  # such as a full disk: the lock itself needs no room
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(handle: int) -> str:
    """Who has the lock, in words, as far as the file says."""
    for _ in range(20):  # who has just taken it is about to write
        try:
            holder = json.loads(os.pread(handle, MOST, 0))
            words = f"process {holder['process']} on {holder['host']} since {holder['since']}: {holder['command']}"
            return "".join(letter if letter.isprintable() else "?" for letter in words)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            time.sleep(0.01)
    return "it does not say which"
