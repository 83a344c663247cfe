"""Names of files: which are hidden, which are the same, and how they are written where text must be UTF-8."""

import re
import unicodedata
from pathlib import Path

HIDDEN = (".", "@eaDir", "__MACOSX")
"""First letters of what no person put among images: .git, ._a.tif, .ipynb_checkpoints, @eaDir, __MACOSX."""


def is_hidden(path: Path) -> bool:
    """Whether a file or folder was made by a system or a program for itself."""
    return path.name.startswith(HIDDEN)


def printable(text: str) -> str:
    r"""The text with bytes of a name that are no UTF-8 as \xff, halves of letters as \ud800: it can be printed and stored.

    >>> printable("caf\udce9.tif")
    'caf\\xe9.tif'
    """
    text = re.sub("[\ud800-\udc7f\udd00-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def key(name: str) -> str:
    """What two names have in common that people see as one: é is one letter or two (NFC, NFD), as the disk has it."""
    return unicodedata.normalize("NFC", printable(name))
