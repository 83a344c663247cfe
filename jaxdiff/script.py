"""A command as a process: its exit status, its errors in one message, its signals, and readers of its output that leave."""

import contextlib
import io
import os
import select
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jaxdiff import stopping


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless JAX_COMPILATION_CACHE_DIR says where (empty: nowhere)."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "jaxdiff" / "xla"))
    # Small programs too: a second start then compiles nothing at all.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def run(command: Callable[[Sequence[str], str], int], args: Sequence[str], prog: str) -> int:
    """A command with its errors said in one message: exit status 2 for what the person can mend, 143, 130 and 129 after
    SIGTERM, Ctrl-C and a closed terminal, 141 where the reader of its output has left.

    JAXDIFF_DEBUG=1 shows the traceback instead.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return command(args, prog)
    except KeyboardInterrupt as stop:
        signum = stopping.signalled() or (
            stopping.SIGTERM if isinstance(stop, stopping.Terminated) else stopping.SIGINT
        )
        return stopping.say(signum, prog, *stop.args[:1])
    except Exception as error:
        if (signum := stopping.signalled()) is not None:  # whatever a library made of it
            return stopping.say(signum, prog)
        if isinstance(error, BrokenPipeError) and _reader_left():
            return 141
        if os.environ.get("JAXDIFF_DEBUG"):
            raise
        # RuntimeErrors of jaxdiff are about checkpoints and diverged training; others are not the person's to mend.
        refused = isinstance(error, RuntimeError) and type(error).__module__.startswith("jaxdiff")
        if not (refused or isinstance(error, ValueError | OSError)):
            raise
        from jaxdiff.durable import is_full

        text = str(error)
        if is_full(error) and not text.startswith("got "):
            text = (
                f"got a full disk ({text}); expected room for what is written; to fix: free some space, then the same "
                "command again, with --resume where it has that"
            )
        return _say(text, prog)


def _say(text: str, prog: str) -> int:
    """Says what is wrong; the exit status."""
    from jaxdiff.terminal import escaped

    with contextlib.suppress(OSError):  # it may be standard error that is full
        print(f"{prog}: error: {escaped(text)}", file=sys.stderr, flush=True)
    return 2


def _format_warning(message: Warning | str, *place: Any) -> str:
    """Python's, with what a warning quotes out of files written out."""
    from jaxdiff.terminal import escaped

    return escaped(_FORMAT_WARNING(message, *place))


_FORMAT_WARNING = warnings.formatwarning


def script(command: Callable[[Sequence[str], str], int], args: Sequence[str], prog: str) -> NoReturn:
    """Runs a command as this process, from which it does not come back."""
    stopping.install(prog)
    warnings.formatwarning = _format_warning
    try:
        stopping.begin()
        status = run(command, args, prog)
    except SystemExit as stop:  # tyro's
        status = stop.code
    except KeyboardInterrupt:  # while something else was being said
        status = stopping.say(stopping.signalled() or stopping.SIGINT, prog)
    stopping.leave()
    status = _flushed(status, prog)
    if stopping.signalled() is not None:
        stopping.end(status)
    sys.exit(status)


def _flushed(status: Any, prog: str) -> Any:
    """The exit status once everything is printed: 141 where a reader has left, 2 where there was no room for it.

    Python's own end would say so at length.
    """
    left = _reader_left()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed before
        try:
            stream.flush()
        except OSError as error:
            stopping.lead_nowhere(stream.fileno())
            left |= isinstance(error, BrokenPipeError)
            if not left and status == 0:
                status = _say(
                    f"got output that cannot be written ({error}); expected room for what is printed; to fix: lead it to "
                    "where there is some",
                    prog,
                )
    return 141 if left else status


def _reader_left() -> bool:
    """Whether standard output or error is a pipe that nobody reads."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
