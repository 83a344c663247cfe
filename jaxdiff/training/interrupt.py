"""SIGTERM, Ctrl-C and a closed terminal end a run after the current step, with everything saved.

Of several hosts, a SIGTERM to any of them (a preemption) ends all at one step that JAX makes them agree on; Ctrl-C ends
the process at once.
"""

import signal
import threading

import jax

from jaxdiff import stopping
from jaxdiff.training import hosts


class Interrupt:
    """While active, the first of these signals sets `signum`; the second one acts as usual (a way out of a hang).

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self):
        self.signum: int | None = None
        self._before: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread() and jax.process_count() == 1:
            self._before = {s: signal.signal(s, self._handle) for s in stopping.heeded()}
        return self

    def __exit__(self, *_):
        self._restore()

    def caught(self, step: int) -> bool:
        """Whether to stop at this step; the same answer on all hosts, which all ask at every step."""
        if jax.process_count() > 1 and self.signum is None and hosts.preempted(step):
            self.signum = signal.SIGTERM
        return self.signum is not None

    def _handle(self, signum, _):
        stopping.notice()
        self.signum = signum
        self._restore()

    def _restore(self):
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}

    def exit(self) -> SystemExit:
        """What to raise once everything is saved: status 143, 130 or 129, as shells report these signals."""
        assert self.signum is not None
        return SystemExit(128 + self.signum)
