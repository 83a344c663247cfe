"""The pipeline by itself: order, how much is under way, and that an error or a signal anywhere ends it."""

import threading
import time

import numpy as np
import pytest

from jaxdiff.bulk.pipeline import pump
from jaxdiff.bulk.shards import Filled, shard_of

NUM, SHARD, MICRO = 22, 8, 4
SHARDS = [shard_of(i, NUM, SHARD) for i in range(3)]


class Parts:
    """Stages that count what is between them; `fails` names the stage and image at which one breaks."""

    def __init__(self, fails: tuple[str, int] = ("", -1)):
        self.fails, self.written, self.drawn, self.converted = fails, [], 0, 0
        self.most_under_way = self.most_shards = self.shards = 0
        self.threads: dict[str, set[str]] = {"draw": set(), "convert": set(), "write": set()}

    def stage(self, name: str, first: int, num: int) -> None:
        self.threads[name].add(threading.current_thread().name)
        if name == self.fails[0] and first <= self.fails[1] < first + num:
            raise OSError(f"{name} broke")

    def draw(self, first, num):
        self.stage("draw", first, num)
        self.drawn += 1
        self.most_under_way = max(self.most_under_way, self.drawn - self.converted)
        return np.arange(first, first + num)

    def new(self, shard):
        self.shards += 1
        self.most_shards = max(self.most_shards, self.shards)
        return Filled(shard, np.full(shard.num, -1), None, np.ones(shard.num, bool))

    def convert(self, drawn, filled, low):
        time.sleep(0.002)
        self.stage("convert", int(drawn[0]), len(drawn))
        filled.images[low : low + len(drawn)] = drawn
        self.converted += 1

    def write(self, filled):
        time.sleep(0.01)
        self.stage("write", filled.shard.first, filled.shard.num)
        self.written.append(filled.images.tolist())
        self.shards -= 1

    def run(self, shards=SHARDS, check=lambda: None):
        pump(shards, MICRO, draw=self.draw, new=self.new, convert=self.convert, write=self.write, check=check)


def test_every_image_once_and_in_order():
    parts = Parts()
    parts.run()
    assert [i for shard in parts.written for i in shard] == list(range(NUM))
    assert [len(shard) for shard in parts.written] == [8, 8, 6]


def test_stages_have_threads_of_their_own_and_little_is_under_way():
    parts = Parts()
    parts.run([shard_of(i, 200, SHARD) for i in range(25)])
    assert len(set.union(*parts.threads.values())) == 3
    assert parts.most_under_way <= 2
    assert parts.most_shards <= 3


@pytest.mark.parametrize("fails", [("draw", 9), ("convert", 9), ("write", 9), ("write", 20)], ids=str)
def test_an_error_anywhere_ends_the_run_with_its_message(fails):
    parts, threads = Parts(fails), threading.active_count()
    with pytest.raises(OSError, match=f"{fails[0]} broke"):
        parts.run()
    assert parts.written[0] == list(range(8))
    assert all(-1 not in shard for shard in parts.written)
    assert not any(fails[1] in shard for shard in parts.written)
    assert threading.active_count() == threads


def test_a_shard_with_a_failed_part_is_never_written():
    parts = Parts(("convert", 6))
    convert, parts.convert = parts.convert, lambda drawn, filled, low: (time.sleep(0.05), convert(drawn, filled, low))
    with pytest.raises(OSError, match="convert broke"):
        parts.run(SHARDS[:1])  # its end is queued before the part fails
    assert parts.written == []


def test_a_failed_write_is_noticed_while_the_device_works():
    parts = Parts(("write", 0))
    parts.convert = lambda drawn, filled, low: time.sleep(0.02)
    with pytest.raises(OSError, match="write broke"):
        parts.run([shard_of(i, 4000, SHARD) for i in range(500)])
    assert parts.drawn < 20


def test_a_check_that_raises_stops_it():
    parts, began = Parts(), time.monotonic()

    def check():
        if time.monotonic() - began > 0.05:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.run([shard_of(i, 40000, SHARD) for i in range(5000)], check)
    done = [i for shard in parts.written for i in shard]
    assert done == list(range(len(done)))
    assert len(done) % SHARD == 0
