"""Keeps Orbax from printing tracebacks of errors that the library catches and explains.

Orbax logs every error of its threads, up to ten tracebacks for one full disk, and a reader that gives up on a damaged
file leaves TensorStore calls that find their event loop closed. Both also arrive as exceptions, which are not touched.
"""

import functools
import logging
import os
import sys


@functools.cache
def quiet_orbax() -> None:
    """Filters log records of Orbax below CRITICAL and that one unraisable error, once a process."""
    logging.getLogger("absl").addFilter(_keep)
    before = sys.unraisablehook

    def hook(unraisable):
        if not (isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook


def _keep(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL or f"{os.sep}orbax{os.sep}" not in record.pathname
