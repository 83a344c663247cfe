"""The one exception of the data floor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdiff.terminal import one_line

SHOWN = 5
"""Files that are named, of many."""


class DataError(ValueError):
    """Input data that cannot be used as asked; its text says what was got, what was expected and how to fix it.

    lines: more of what was got, each on a line of its own. Characters that are commands for a terminal are written out.
    """

    def __init__(self, got: str, expected: str, fix: str, lines: Sequence[str] = ()):
        listing = "".join(f"\n  {one_line(line)}" for line in lines) + ("\n" if lines else "")
        super().__init__(f"got {one_line(got)}{listing}; expected {one_line(expected)}; to fix: {one_line(fix)}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come from the processes of a loader by pickle, which would call the class with the text alone."""
        return _again, (type(self), str(self))


def _again(cls: type[DataError], text: str) -> DataError:
    error = cls.__new__(cls)
    ValueError.__init__(error, text)
    return error


class UnreadableError(DataError):
    """A file that is damaged, not what its name says, no image without others, or of pixels that are no light: what
    `skip_unreadable` may step over.
    """

    def skippable(self) -> "UnreadableError":
        """The same with the advice to leave such files out, for callers who let people do so."""
        return _Worded(f"{self}, {SKIP}")


class _Worded(UnreadableError):
    """One whose whole text is known."""

    def __init__(self, text: str):
        ValueError.__init__(self, text)


SKIP = "or leave such files out with skip_unreadable"


def unreadable(where: str | Path, errors: Sequence[UnreadableError], number: int) -> UnreadableError:
    """The one error for all `errors` about the `number` files of a folder, each named, or of many the first few; for callers
    who have `skip_unreadable`."""
    some = len(errors) < number
    if len(errors) == 1:
        return errors[0].skippable() if some else errors[0]
    more = [f"and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
    return UnreadableError(
        f"{where} with {len(errors)} of {number} files that cannot be read:",
        "images alone" if some else "at least one image",
        "copy them again" + (f" or remove them, {SKIP}" if some else ""),
        [*map(_got, errors[:SHOWN]), *more],
    )


def _got(error: UnreadableError) -> str:
    return str(error).removeprefix("got ").partition("; expected ")[0]
