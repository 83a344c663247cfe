"""How long something takes, whatever else the machine and this process do."""

import contextlib
import gc
import time
from collections.abc import Iterator


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails unless the block takes less than `seconds` of this thread's own CPU time.

    Other processes, and other threads of this one (a program that XLA compiles), do not count, nor does the collection of
    what earlier tests left: after some thousand tests one collection takes seconds.
    """
    collects = gc.isenabled()
    gc.disable()
    began = time.thread_time()
    try:
        yield
        spent = time.thread_time() - began
    finally:
        if collects:
            gc.enable()
    assert spent < seconds, f"took {spent:.2f} s of CPU time; expected less than {seconds} s"
