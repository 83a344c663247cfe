"""SIGTERM, Ctrl-C and a closed terminal end a command with one line and the status that shells expect: 143, 130 and 129.

`install` comes before anything that takes time, JAX's import above all: this module is the first that a command imports,
and imports little itself. From then on the first signal raises KeyboardInterrupt in the main thread, so that every file
that is being written is left whole or not at all; a second one ends the process at once. So does the first where an
exception would be lost: before the command has begun and while modules are imported, where the main thread does not come
back from a library (a compilation) within `GRACE` seconds, and while a process whose command has ended is leaving
(threads, `atexit`). In the interpreter's own first and last moments, which know no handlers, signals do what the system
says (tens of milliseconds before `install`), and at the end nothing: the work is done and the status is that of the
command.
"""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` takes longer to import than everything else here together
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

GRACE = 2.0
"""Seconds in which the main thread must have noticed a signal."""
SIGTERM, SIGINT = signal.SIGTERM, signal.SIGINT
WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"


class Terminated(KeyboardInterrupt):
    """Another signal, which ends a command as Ctrl-C does, with a status of its own."""


class _Told:
    """What this process was told, and whether it has said so."""

    prog = ""
    signum: int | None = None
    noticed = 0
    """Signals that a handler of this package has seen."""
    said = False
    begun = False
    """Whether the command has begun, which puts what it does in order when an exception ends it."""
    leaving = False
    """Whether the command has ended."""


_told = _Told()
_undone_at_once: list[tuple[int, Callable[[], None]]] = []


def install(prog: str) -> None:
    """From here on signals end the process as above; `prog` begins the line. For the main thread of a command."""
    open_streams()
    installed, _told.prog = bool(_told.prog), prog
    if installed:
        return
    for signum in heeded():
        signal.signal(signum, _handle)
    import threading

    atexit.register(_ignore)  # the first to be registered is the last to be called
    sys.unraisablehook = _unraisable
    if os.name == "posix":
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(read,), daemon=True).start()


def open_streams() -> None:
    """Leads standard streams that were closed (`2>&-`) to nowhere.

    Without that, the next file to be opened would get the number of one, and be written to by whoever reports errors; and
    libraries do not expect `sys.stderr` to be None.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            else:
                os.set_inheritable(handle, True)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def reinstall() -> None:
    """Puts Python's handlers back after a library has put its own below them, as `jax.distributed` does for SIGTERM."""
    import threading

    if threading.current_thread() is threading.main_thread():
        for signum in WORDS:
            if callable(handler := signal.getsignal(signum)):
                signal.signal(signum, handler)


def heeded() -> list[int]:
    """The signals that end a command: without that of a closed terminal under `nohup`, which is there to outlive it."""
    return [one for one in WORDS if one in (SIGTERM, SIGINT) or signal.getsignal(one) is not signal.SIG_IGN]


def signalled() -> int | None:
    """The signal that ends this command, if there was one."""
    return _told.signum


def notice() -> None:
    """For other handlers of these signals: the main thread has seen one, and does what it says."""
    _told.noticed += 1
    for number in (1, 2):
        try:
            os.write(number, b"")
        except OSError as error:
            if error.errno == errno.EIO:  # a terminal that is gone: what is to be saved must not fail at a message
                lead_nowhere(number)


def lead_nowhere(number: int) -> None:
    """From here on what is written to the open file `number` is lost."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    os.close(nowhere)


def say(signum: int, prog: str, more: Any = "") -> int:
    """Says once that a signal ends the command, and what else is known; the exit status."""
    if not _told.said:
        _told.said = True
        line = f"{prog}: {WORDS.get(signal.Signals(signum), 'ended')}" + (f": {more}" if more else "")
        import contextlib

        with contextlib.suppress(OSError):  # such as a full disk that standard error leads to
            print(line, file=sys.stderr, flush=True)
    return 128 + signum


def begin() -> None:
    """The command begins: from here on a signal raises KeyboardInterrupt, which the caller must catch."""
    _told.begun = True


def undo_at_once(undo: Callable[[], None]) -> Callable[[], None]:
    """Has `undo` called where a signal ends this process at once, and no `finally` runs; call what it returns to forget it.

    For what others would stumble over, such as a lock that stays. It must be short, raise nothing, and may find its work
    done.
    """
    entry = (os.getpid(), undo)  # not for children that inherit this list
    _undone_at_once.append(entry)
    return lambda: _undone_at_once.remove(entry)


def leave() -> None:
    """The command has ended: from here on a signal finds nothing that an exception could put in order."""
    _told.leaving = True


def end(status: Any) -> NoReturn:
    """Ends the process once everything is in order and said.

    Python's own way out waits for what threads still compile (44 s seen) and then tears the library down below them (a
    segmentation fault, seen).
    """
    if "multiprocessing" in sys.modules:
        for one in sys.modules["multiprocessing"].active_children():
            one.kill()
    os._exit(status if isinstance(status, int) else 1)


def _handle(signum: int, frame: FrameType | None) -> None:
    notice()
    again, _told.signum = _told.signum is not None, _told.signum or signum
    if again or not _told.begun or _told.leaving or _imports(frame):
        _leave(_told.signum)
    raise KeyboardInterrupt if signum == SIGINT else Terminated


def _ignore() -> None:
    """For the interpreter's teardown, which puts back the system's way of ending a process, without a word."""
    for signum in WORDS:
        if signal.getsignal(signum) is _handle:
            signal.signal(signum, signal.SIG_IGN)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported, where exceptions are caught that one does not expect."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(unraisable: Any) -> None:
    """An exception in a destructor or a callback of the garbage collector is printed and lost; a signal must not be."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _leave(_told.signum or signal.SIGINT)
    sys.__unraisablehook__(unraisable)


def _watch(read: int) -> None:
    """Ends the process where the main thread does not notice a signal whose handler is that of `install`."""
    arrived = 0
    while numbers := os.read(read, 1):
        if numbers[0] not in WORDS:
            continue
        arrived += 1
        deadline = time.monotonic() + GRACE
        while _told.noticed < arrived and time.monotonic() < deadline:
            time.sleep(0.02)
        if _told.noticed < arrived and signal.getsignal(numbers[0]) is _handle:
            _leave(numbers[0])


def _leave(signum: int) -> None:
    """Ends the process at once, as a kill would, but with a line."""
    if not _told.said:
        bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())
        below = "\n" * len(bars)  # or it would stand at the end of one
        os.write(2, f"{below}{_told.prog}: {WORDS[signal.Signals(signum)]}\n".encode())
    for process, undo in reversed(_undone_at_once):
        if process == os.getpid():
            undo()
    os._exit(128 + signum)
