"""A Python process of a test, which it does not survive."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def python(*arguments: Any, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`python ARGUMENTS` with pipes for what it reads and writes; killed in the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
