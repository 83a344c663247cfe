"""Parts of hosts, worker processes, records that turn out unreadable: real array_record files, real processes."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jaxdiff.data.errors import DataError
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.prepared.prepare import prepare
from jaxdiff.data.prepared.tfds import TfdsSource
from jaxdiff.data.sources.source import Cached

IMAGES = np.random.default_rng(0).integers(0, 4000, (7, 16, 20)).astype(np.uint16)
NORMALISER = Normaliser.fit(list(IMAGES[..., None]))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    for i, image in enumerate(IMAGES):
        (folder / "tiffs").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "tiffs" / f"{i}.tif", image, metadata={"axes": "YX"})
    prepare(folder / "tiffs", folder, "small")
    return Cached(TfdsSource("small", folder), 10**6)


def taken(loader, number):
    return [{k: v.copy() for k, v in batch.items()} for batch in itertools.islice(loader, number)]


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        assert x.keys() == y.keys()
        for name in x:
            np.testing.assert_array_equal(x[name], y[name])


def joined(parts):
    return [{k: np.concatenate([part[k] for part in batch]) for k in batch[0]} for batch in zip(*parts)]


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_share_the_batches_of_one_and_go_on_from_any_number_of_them(source, hosts):
    whole = Loader(source, NORMALISER, (8, 8), 4, seed=1)
    expected = taken(whole, 6)
    parts = [Loader(source, NORMALISER, (8, 8), 4, seed=1, part=(i, hosts)) for i in range(hosts)]
    assert_same(joined([taken(part, 4) for part in parts]), expected[:4])
    states = [json.loads(json.dumps(part.get_state())) for part in parts]
    assert all(state == states[0] for state in states)
    again = Loader(source, NORMALISER, (8, 8), 4, seed=1)
    again.set_state(states[0])
    assert_same(taken(again, 2), expected[4:])
    with pytest.raises(DataError, match="batch_size 4 for 3 hosts"):
        Loader(source, NORMALISER, (8, 8), 4, part=(0, 3))


WORKERS = """
import itertools, multiprocessing, os, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_loader_at_scale import NORMALISER, Cached, Loader, TfdsSource

if __name__ == "__main__":  # workers are new processes that import this file
    source = Cached(TfdsSource("small", sys.argv[2]), 10**6)
    loader = Loader(source, NORMALISER, (8, 8), 4, seed=1, workers=2)
    for _ in range(2):
        next(loader)
    loader.set_state(loader.get_state())
    found = [next(loader)["image"]]
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:  # as of a terminal or of Slurm, to all processes of a command
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, signum)
    found += [next(loader)["image"] for _ in range(2)]
    assert all(worker.is_alive() for worker in workers)
    np.save(sys.argv[3], found)
    import jax
    assert not jax._src.xla_bridge.backends_are_initialized()
    print("ready", flush=True)
    raise RuntimeError("an error while workers wait")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_change_nothing_and_leave_nothing_behind_an_error(source, tmp_path):
    script, out = tmp_path / "child.py", tmp_path / "found.npy"
    script.write_text(WORKERS)
    data_dir = next(p for p in Path(source.source._folder).parents if (p / "small").is_dir())
    mark = f"MARK={tmp_path}"
    done = subprocess.run(
        [sys.executable, script, os.path.dirname(__file__), data_dir, out],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "MARK": str(tmp_path)},
    )
    assert done.stdout == "ready\n", done.stderr[-2000:]
    assert done.returncode == 1, done.stderr[-2000:]
    expected = taken(Loader(source, NORMALISER, (8, 8), 4, seed=1), 5)[2:]
    np.testing.assert_array_equal(np.load(out), [batch["image"] for batch in expected])
    deadline = time.time() + 20
    while (left := with_environment(mark)) and time.time() < deadline:
        time.sleep(0.1)
    assert not left


def with_environment(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_a_damaged_record_is_named_counted_and_replaced_up_to_a_number(tmp_path):
    folder = tmp_path / "tiffs"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        tifffile.imwrite(folder / f"{i}.tif", image, metadata={"axes": "YX"})
    built = prepare(folder, tmp_path, "small")
    source = TfdsSource("small", tmp_path)
    whole = taken(Loader(source, NORMALISER, (16, 20), 7, seed=2, augment=False), 1)[0]["image"]
    (file,) = built.glob("*.array_record*")
    data = bytearray(file.read_bytes())
    filled = np.flatnonzero(np.frombuffer(data, np.uint8))
    middle = int(filled[len(filled) // 2])
    data[middle : middle + 60] = bytes(60)
    file.write_bytes(data)

    broken = TfdsSource("small", tmp_path)
    loader = Loader(broken, NORMALISER, (16, 20), 7, seed=2, augment=False, max_unreadable=3)
    with pytest.warns(
        UserWarning, match=r"record \d of the training data cannot be read .*the next one takes its place"
    ):
        found = next(loader)["image"]
    assert 1 <= len(loader.unreadable) <= 3
    same = [np.array_equal(a, b) for a, b in zip(found, whole)]
    assert same.count(False) == len(loader.unreadable)
    assert all(any(np.array_equal(image, real) for real in whole) for image in found)
    with pytest.raises(DataError, match=r"number 1 on the way.*at most 0.*--max-unreadable"):
        next(Loader(broken, NORMALISER, (16, 20), 7, seed=2))
