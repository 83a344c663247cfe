"""The one exception of the data floor."""

from jaxdiff.data.names import printable


class DataError(ValueError):
    """Input data that cannot be used as asked; its text says what was got, what was expected and how to fix it."""

    def __init__(self, got: str, expected: str, fix: str):
        super().__init__(printable(f"got {got}; expected {expected}; to fix: {fix}"))


class UnreadableError(DataError):
    """A file that is damaged, not what its name says, or no image without others: what `skip_unreadable` may step over."""
