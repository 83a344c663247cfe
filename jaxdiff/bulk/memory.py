"""How many images fit on a device at once, and from which number on more of them are no faster."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxdiff.bulk.program import CompiledSampler

SHARE = 0.9
"""Of an accelerator's free memory; the rest is left to fragmentation."""
CPU_SHARE = 0.5
"""Of the free main memory, which other programs and the shards on their way need too."""
BATCHES = (16, 64, 256, 1024, 4096)
GAIN = 1.05
"""A larger micro-batch has to be this much faster."""
SECONDS = 0.3
"""One measurement lasts at least this long."""


@dataclass(frozen=True)
class Chosen:
    """A micro-batch, its program, and the rates (images/s by micro-batch) that led to it."""

    program: CompiledSampler
    rates: dict[int, float]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is the device's: no memory left."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def free_bytes(device: Any, sharing: int = 1) -> int | None:
    """Memory that a program may use on `device`; on CPU, `sharing` devices share it. None where nobody can say."""
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return int(SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    available = _available_memory()
    return None if available is None else int(CPU_SHARE * available / sharing)


def choose_batch(
    build: Callable[[int], CompiledSampler],
    run: Callable[[CompiledSampler], Any],
    free: int | None,
    batches: Iterable[int] = BATCHES,
) -> Chosen:
    """The micro-batch that fits and is, within 5 %, the fastest: sizes are tried upwards until the rate rises no more.

    build: compiles the program of a micro-batch; run: runs it once and waits; free: bytes on a device, or None.
    Where the smallest does not fit it is halved. Raises ValueError where not even one image fits.
    """
    rates: dict[int, float] = {}
    best: CompiledSampler | None = None
    for batch in batches:
        program = _tried(build, run, batch, free, rates)
        if program is None or (best is not None and rates[batch] < GAIN * rates[best.batch]):
            break
        best = program
    while best is None:
        batch //= 2
        if batch == 0:
            raise ValueError(
                "got a model of which not one image fits into the device's memory"
                + ("" if free is None else f" ({free / 1e6:.0f} MB free)")
                + "; expected one that fits; to fix: a device with more memory, or end what else runs on it"
            )
        best = _tried(build, run, batch, free, rates)
    return Chosen(best, rates)


def _tried(build, run, batch: int, free: int | None, rates: dict[int, float]) -> CompiledSampler | None:
    """The program of a micro-batch, its rate added to `rates`; None where it does not fit."""
    try:
        program = build(batch)
        if free is not None and program.bytes > free:
            return None
        run(program)  # the first run also allocates
        times, began = 0, time.perf_counter()
        while times == 0 or time.perf_counter() - began < SECONDS:
            run(program)
            times += 1
        rates[batch] = times * program.size / (time.perf_counter() - began)
        return program
    except jax.errors.JaxRuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise


def _available_memory() -> int | None:
    """Main memory that is free or can be freed at once, bytes."""
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
