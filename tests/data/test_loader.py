import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.source import Cached, Memory
from jaxdiff.lock import LockedError
from jaxdiff.malformed import malformed

NUM, SHAPE = 5, (20, 24)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 4000, (NUM, *SHAPE, 2)).astype(np.uint16)
INFO = DataInfo(channel_names=("a", "b"))
MASKS = IMAGES[..., 0].astype(np.int32)
SOURCE = Memory(IMAGES, INFO, MASKS, np.arange(NUM))
NORMALISER = Normaliser.fit(list(IMAGES))


def loader(source=SOURCE, patch=(8, 12), batch_size=4, seed=3, **options):
    return Loader(source, NORMALISER, patch, batch_size, seed, **options)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_batches_are_normalised_patches_with_their_masks_and_labels():
    for batch in itertools.islice(loader(), 6):
        assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
            "image": ((4, 8, 12, 2), "float32"),
            "mask": ((4, 8, 12), "int32"),
            "label": ((4,), "int32"),
            "augmentation": ((4, 3), "float32"),
        }
        grey = np.rint(NORMALISER.inverse(batch["image"]))
        np.testing.assert_array_equal(grey[..., 0], batch["mask"])
        for patch, label in zip(grey, batch["label"]):
            assert np.isin(patch[..., 1], IMAGES[label, ..., 1]).all()


def test_every_epoch_shows_every_image_once_in_a_new_order():
    labels = np.concatenate([b["label"] for b in itertools.islice(loader(batch_size=NUM), 8)]).reshape(8, NUM)
    assert (np.sort(labels, axis=1) == np.arange(NUM)).all()
    assert len({tuple(row) for row in labels}) > 4


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_saved_position_goes_on_bitwise(threads, steps):
    whole = list(itertools.islice(loader(threads=2), steps + 4))
    first = loader(threads=threads)
    for _ in range(steps):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    again = loader(threads=threads)
    next(again)
    again.set_state(state)
    for a, b in zip(itertools.islice(again, 4), whole[steps:]):
        assert same(a, b)


def test_the_cache_changes_nothing():
    for limit in (0, IMAGES[0].nbytes * 3, 10**9):
        a, b = loader(Cached(SOURCE, limit)), loader()
        assert all(same(next(a), next(b)) for _ in range(6))


def test_the_cache_keeps_its_limit_and_reads_once():
    class Counted(Memory):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    source = Counted(IMAGES, INFO)
    batches = loader(Cached(source, 10**9), threads=0)
    for _ in range(10):
        next(batches)
    assert source.reads == NUM
    cache = Cached(Counted(IMAGES, INFO), 3 * IMAGES[0].nbytes)
    for i in [*range(NUM), *range(NUM)]:
        cache[i]
        assert cache._bytes == sum(r["image"].nbytes for r in cache._kept.values()) <= cache.limit


def test_seeds_differ_and_foreign_positions_are_refused():
    assert not same(next(loader(seed=1)), next(loader(seed=2)))
    state = loader().get_state()
    others = (
        {"seed": 4},
        {"batch_size": 5},
        {"patch": (8, 8)},
        {"augment": False},
        {"source": Memory(IMAGES[:4], INFO)},
    )
    for other in others:
        with pytest.raises(DataError, match="position"):
            loader(**other).set_state(state)


def test_bad_arguments():
    for bad in ({"batch_size": 0}, {"patch": (8,)}, {"patch": (2, 8, 8)}, {"source": Memory(IMAGES[:0], INFO)}):
        with pytest.raises(DataError):
            loader(**bad)


@pytest.mark.parametrize(
    "error",
    [
        DataError("a", "b", "c", ["d"]),
        UnreadableError("a", "b", "c"),
        UnreadableError("a", "b", "c").skippable(),
        malformed("a", 1, "b"),
        LockedError("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_worker_arrives_as_it_was(error):
    """Processes send exceptions by pickle."""
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_worker_takes_no_interrupt_and_ends_with_the_process_it_works_for(tmp_path):
    (tmp_path / "script.py").write_text(
        "import multiprocessing, os, time\n"
        "from jaxdiff.data.workers import begin_worker\n"
        "def work():\n"
        "    begin_worker(0, 1)\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    one = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    one.start()\n"
        "    one.join()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        worker = int(process.stdout.readline())
        os.kill(worker, signal.SIGINT)
        time.sleep(0.2)
        os.kill(worker, 0)  # it is there
        process.kill()
        assert process.communicate(timeout=20) == ("", "")  # the worker no longer holds the pipes
