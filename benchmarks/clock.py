"""How seconds are measured: whole runs to the end of the device's work, sides in turns, ratios of a turn.

A machine that slows down then slows all sides, and a ratio is of two runs that were beside each other.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

Measured = TypeVar("Measured")


def seconds(run: Callable[[], Any], times: int = 1) -> float:
    """Of `times` runs, each until its result is there."""
    began = time.perf_counter()
    for _ in range(times):
        jax.block_until_ready(run())
    return time.perf_counter() - began


def turns(sides: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """What each side measured in each of `rounds` turns; another side begins each time. Compile before."""
    names, measured = list(sides), {name: [] for name in sides}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            measured[name].append(sides[name]())
    return measured


def median_seconds(run: Callable[[], Any], rounds: int) -> float:
    """Of single runs, after one that compiles."""
    run()
    return statistics.median(seconds(run) for _ in range(rounds))


def ratios(above: Iterable[float], below: Iterable[float]) -> tuple[float, list[float]]:
    """Median and quartiles of the ratios of the turns."""
    of_turns = [a / b for a, b in zip(above, below, strict=True)]
    return statistics.median(of_turns), np.quantile(of_turns, [0.25, 0.75]).tolist()
