"""Processes that give damaged files to their readers, and may hang or die of it."""

import multiprocessing
import os
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np


def work(pipe: Connection, folder: Path) -> None:
    """A process: takes (format, first case, cases, seed), gives ("case", number, result) and ("done",); files in `folder`."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import logging

    from benchmarks.fuzz.case import Whole
    from benchmarks.fuzz.formats import FORMATS

    logging.disable(logging.CRITICAL)
    quiet = os.open(os.devnull, os.O_WRONLY)  # what C++ readers print
    os.dup2(quiet, 2)
    wholes: dict[str, Any] = {}
    while True:
        name, first, number, seed = pipe.recv()
        if name not in wholes:
            wholes[name] = Whole(FORMATS[name], folder / str(len(wholes)))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**32, resource.RLIM_INFINITY))
        for i in range(first, first + number):
            pipe.send(("case", i, None))
            rng = np.random.default_rng([seed, list(FORMATS).index(name), i])
            pipe.send(("case", i, wholes[name].case(rng)))
        pipe.send(("done", first + number, None))


class Worker:
    """A process with the part of the work that it has."""

    def __init__(self, folder: Path):
        """folder: of the files of this process, and of those that take its place."""
        self.folder, self.starts = folder, 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        own = self.folder / str(self.starts)
        self.pipe, theirs = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs, own), daemon=True)
        self.process.start()
        theirs.close()
        self.task, self.current, self.heard = None, None, time.monotonic()

    def give(self, task: tuple[str, int, int, int]) -> None:
        self.task, self.current, self.heard = task, task[1], time.monotonic()
        self.pipe.send(task)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
