"""Text out of files, folders and other processes, as a terminal may show it: nothing in it moves the cursor.

Names of files and fields, descriptions and metadata are anybody's. An escape sequence among them could clear the screen,
hide an error above it, or give the window a title; letters that turn the direction of text could make one name another's.
"""

import re

_COMMANDS = "\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters but tabs and line ends, those that order directions and lines, and halves of letters."""
_COMMAND, _COMMAND_OR_LINE = re.compile(f"[{_COMMANDS}]"), re.compile(f"[{_COMMANDS}\t\n]")


def escaped(text: str) -> str:
    r"""The text with every character that is a command and no letter written out; line ends stay.

    >>> print(escaped("a\x1b[2J.tif"), escaped("caf\udce9.tif"))
    a\x1b[2J.tif caf\xe9.tif
    """
    return _COMMAND.sub(_written_out, text)


def one_line(text: object) -> str:
    r"""As `escaped`, with line ends written out, too: for one name or value among others.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return _COMMAND_OR_LINE.sub(_written_out, str(text))


def _written_out(letter: re.Match[str]) -> str:
    code = ord(letter[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return repr(letter[0])[1:-1] if code < 0x80 else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
