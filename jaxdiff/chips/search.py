"""Which batches fit into a chip's memory, by compiling a few."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxdiff.chips.estimate import Estimate, estimate
from jaxdiff.chips.target import Target


class Tried(NamedTuple):
    """A batch that was compiled."""

    batch: int
    fits: bool
    estimate: Estimate | None
    """None where the compiler gave up for want of memory."""
    seconds: float
    """Of compiling."""


def compile_batch(target: Target, trace: Callable[[int], jax.stages.Traced], batch: int) -> Tried:
    """The program of `trace(batch)`, and whether it fits. Raises what the compiler raises for other reasons than memory."""
    start = time.perf_counter()
    try:
        estimated = estimate(trace(batch), target)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return Tried(batch, False, None, time.perf_counter() - start)
    fits = target.chip.memory is None or estimated.memory <= target.chip.memory
    return Tried(batch, fits, estimated, time.perf_counter() - start)


def search(
    target: Target,
    trace: Callable[[int], jax.stages.Traced],
    batch: int,
    *,
    unit: int = 1,
    compiles: int = 4,
    say: Callable[[Tried], None] = lambda tried: None,
) -> list[Tried]:
    """Batches up to the largest that fits, by steps of two: `batch`, its double, then the one that memory foretells.

    Memory grows with the batch by a constant, so that two programs tell the third; it is compiled to be sure, and halved
    where it does not fit after all. Where `batch` itself does not fit, it is halved. Where the chip's memory is not known,
    only `batch` is compiled.

    Args:
        target: whose compiler is asked.
        trace: from a batch to a traced program.
        batch: the first.
        unit: that batches have to be multiples of.
        compiles: at most so many programs.
        say: called with each as it is there.

    Returns:
        What was compiled, in that order.
    """
    tried: list[Tried] = []

    def compiled(batch: int) -> Tried:
        tried.append(compile_batch(target, trace, batch))
        say(tried[-1])
        return tried[-1]

    def halved(last: Tried) -> None:
        while not last.fits and len(tried) < compiles:
            half = last.batch // 2
            if half < unit or half % unit or half in {one.batch for one in tried}:
                return
            last = compiled(half)

    first = compiled(batch)
    if not first.fits:
        halved(first)
    elif target.chip.memory is not None and compiles > 1:
        second = compiled(2 * batch)
        foretold = _foretold(first, second, target.chip.memory)
        if foretold > 2 * batch and len(tried) < compiles:
            halved(compiled(foretold))
    return tried


def _foretold(first: Tried, second: Tried, memory: float) -> int:
    """The largest batch, the first times a power of two (at most 2¹⁶), that fits if memory grows on as it does."""
    if first.estimate is None or second.estimate is None or not second.fits:
        return first.batch
    slope = max(second.estimate.memory - first.estimate.memory, 1) / (second.batch - first.batch)
    best = second.batch
    while best < first.batch * 2**16 and first.estimate.memory + slope * (2 * best - first.batch) <= memory:
        best *= 2
    return best
