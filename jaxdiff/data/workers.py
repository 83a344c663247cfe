"""What a process that prepares batches does with signals, and when the one that it works for is gone."""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

LEFT = "ignore:resource_tracker:UserWarning"


def begin_worker(index: int, workers: int) -> None:
    """Ctrl-C, which a terminal sends to all processes, is for the first one to act on; where that dies, the worker ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def quiet_tracker() -> None:
    """Batches that were under way when a run was stopped are removed by Python's resource tracker without a word."""
    if LEFT not in sys.warnoptions:
        sys.warnoptions.append(LEFT)  # which the tracker's process is started with
