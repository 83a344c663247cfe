"""SIGTERM and Ctrl-C end a run after the current step, with everything saved."""

import signal
import threading


class Interrupt:
    """While active, the first SIGTERM or Ctrl-C sets `signum`; the second one acts as usual (a way out of a hang).

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.signum: int | None = None
        self._before: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in self.SIGNALS}
        return self

    def __exit__(self, *_):
        self._restore()

    def _handle(self, signum, _):
        self.signum = signum
        self._restore()

    def _restore(self):
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}

    def exit(self) -> SystemExit:
        """What to raise once everything is saved: status 143 for SIGTERM, 130 for Ctrl-C, as shells report them."""
        assert self.signum is not None
        return SystemExit(128 + self.signum)
