"""Places to write to: what else may be there is said before any work, and is never removed."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_places(out: Path, files: Iterable[str | Path] = (), folders: Iterable[str | Path] = ()) -> None:
    """Raises ValueError where something else is in the place of a file that is written below `out`, or of a folder.

    Args:
        out: folder; what is above it is not looked at.
        files: relative to `out`; each may be missing, or a file that is replaced, or a link in its place.
        folders: relative to `out`; each may be missing. The folders of `files` are looked at, too.

    Raises:
        ValueError: for a folder, pipe, socket or device in place of a file, and for anything but a folder, such as a link
            that leads nowhere, in place of a folder.
    """
    files = [Path(one) for one in files]
    within = dict.fromkeys(above for one in files for above in reversed(one.parents[:-1]))
    for folder in dict.fromkeys([*within, *map(Path, folders)]):
        if (kind := _kind(out / folder)) not in (None, "a folder"):
            raise _occupied(out / folder, kind, "a folder")
    for file in files:
        if (kind := _kind(out / file)) not in (None, "a file", NOWHERE):
            raise _occupied(out / file, kind, "a file")


NOWHERE = "a link that leads nowhere"


def _kind(path: Path) -> str | None:
    """What is there; a link is what it leads to. None where there is nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "no file")
    except OSError:
        return NOWHERE if os.path.lexists(path) else None


def _occupied(path: Path, kind: str | None, expected: str) -> ValueError:
    return ValueError(f"got {path}, which is {kind}; expected {expected}, or nothing; to fix: move it elsewhere")
