"""Sampling, conversion and writing at the same time: the device never waits for the host, unless the host is slower.

The main thread dispatches micro-batches, of which two are under way; one thread waits for them, turns them into the
data's units and fills a shard; another encodes and writes the finished one. So at most three shards are in memory.
An error in any thread ends the run with that error.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

from jaxdiff.bulk.shards import Filled, Shard

IN_FLIGHT = 2
POLL = 0.1
"""Seconds between looks at signals and at the writer while the main thread waits."""


def pump(
    shards: Iterable[Shard],
    size: int,
    *,
    draw: Callable[[int, int], Any],
    new: Callable[[Shard], Filled],
    convert: Callable[[Any, Filled, int], None],
    write: Callable[[Filled], None],
    check: Callable[[], None],
) -> None:
    """Makes `shards` in turn, in micro-batches of `size` images.

    draw(first, num): dispatches the sampling of images `first` to `first + num - 1`, at most `size`, without waiting.
    new(shard): memory for its images. convert(samples, filled, low): waits for what `draw` returned and puts it into
    `filled` from `low` on; runs in a thread. write(filled): runs in another. check(): raises to stop, for signals.

    Whatever one of these raises is raised here, once the threads have ended what they were doing; no shard is written
    of which a part is missing.
    """
    converter, writer = ThreadPoolExecutor(1, "convert"), ThreadPoolExecutor(1, "write")
    under_way: deque[Future] = deque()
    writes: deque[Future] = deque()

    def hand_over(filled: Filled) -> None:
        while writes:  # one shard is being written and one is filled, never more
            writes.popleft().result()
        writes.append(writer.submit(write, filled))

    def settle(most: int) -> None:
        while len(under_way) > most:
            _wait(under_way[0], writes, check)
            under_way.popleft().result()

    try:
        for shard in shards:
            filled, parts, began = new(shard), [], time.perf_counter()
            for low in range(0, shard.num, size):
                settle(IN_FLIGHT - 1)
                try:
                    samples = draw(shard.first + low, min(size, shard.num - low))
                except Exception:
                    settle(0)  # what was dispatched before it is good
                    raise
                parts.append(converter.submit(convert, samples, filled, low))
                under_way.append(parts[-1])
                del samples  # or the device keeps it until the next one is there
            under_way.append(converter.submit(_finish, filled, parts, began, hand_over))
        settle(0)
        for last in list(writes):
            _wait(last, writes, check)
            last.result()
    finally:
        converter.shutdown(wait=True, cancel_futures=True)
        writer.shutdown(wait=True)  # a shard that is whole is worth its writing


def _finish(filled: Filled, parts: list[Future], began: float, hand_over: Callable[[Filled], None]) -> None:
    for part in parts:  # all done, as one thread converts; a failed one must not leave a gap in a written shard
        part.result()
    filled.seconds = time.perf_counter() - began
    hand_over(filled)


def _wait(future: Future, writes: deque[Future], check: Callable[[], None]) -> None:
    """Returns when `future` is done; raises at once what `check` or a failed write raises."""
    while not future.done():
        check()
        for write in list(writes):
            if write.done():
                write.result()
        wait_for([future], timeout=POLL)
    check()
