"""What tifffile logs about a file, as part of our own message about it, and once."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_said = threading.local()


class _Kept(logging.Filter):
    """Keeps records of a thread that listens from every other handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        texts = getattr(_said, "texts", None)
        if texts is None:
            return True
        if record.levelno >= logging.WARNING:
            texts.append((record.levelno, record.getMessage()))
        return False


logging.getLogger("tifffile").addFilter(_Kept())


@contextmanager
def heard() -> Iterator[list[tuple[int, str]]]:
    """The warnings and errors (level, text) that tifffile logs in this thread, which then go nowhere else."""
    before, _said.texts = getattr(_said, "texts", None), []
    try:
        yield _said.texts
    finally:
        _said.texts = before
