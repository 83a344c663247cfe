"""What a process that prepares batches does with signals, and when the one that it works for is gone."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import wait

import cloudpickle  # with which grain hands batches' sources to its processes

from jaxdiff import stopping
from jaxdiff.parts import CONFIG_FILE

LEFT = "ignore:resource_tracker:UserWarning"


@contextlib.contextmanager
def out_of_reach_of_signals() -> Iterator[None]:
    """Processes that begin in the block never see the signals that end a command, not even while they import.

    A terminal sends Ctrl-C, and Slurm and systemd send SIGTERM, to all processes of a command: the first one acts on it, and
    may still want batches.
    """
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.WORDS)
    others = multiprocessing.active_children()
    try:
        resource_tracker.ensure_running()  # multiprocessing would begin it with the first process, and unblock two signals
        signal.pthread_sigmask(signal.SIG_BLOCK, stopping.WORDS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for process in multiprocessing.active_children():
            if process not in others:
                atexit.register(process.kill)  # before multiprocessing tries SIGTERM, and waits


def begin_worker(index: int, workers: int) -> None:
    """Ctrl-C is for the first process to act on; where that dies, the worker ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def carry_config_files() -> None:
    """Classes of a config file, which no other process can import, go to the workers as they are."""
    for name, module in list(sys.modules.items()):
        if name.startswith(CONFIG_FILE):
            cloudpickle.register_pickle_by_value(module)


def quiet_tracker() -> None:
    """Batches that were under way when a run was stopped are removed by Python's resource tracker without a word."""
    if LEFT not in sys.warnoptions:
        sys.warnoptions.append(LEFT)  # which the tracker's process is started with
