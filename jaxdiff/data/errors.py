"""The one exception of the data floor."""

from collections.abc import Sequence

from jaxdiff.terminal import one_line


class DataError(ValueError):
    """Input data that cannot be used as asked; its text says what was got, what was expected and how to fix it.

    lines: more of what was got, each on a line of its own. Characters that are commands for a terminal are written out.
    """

    def __init__(self, got: str, expected: str, fix: str, lines: Sequence[str] = ()):
        listing = "".join(f"\n  {one_line(line)}" for line in lines) + ("\n" if lines else "")
        super().__init__(f"got {one_line(got)}{listing}; expected {one_line(expected)}; to fix: {one_line(fix)}")


class UnreadableError(DataError):
    """A file that is damaged, not what its name says, or no image without others: what `skip_unreadable` may step over."""
