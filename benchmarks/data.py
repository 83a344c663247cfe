"""`python -m benchmarks.data PATH/bbbc039`: rate of the loader alone, and how far each map leaves the brightest pixel.

Also of the loader on array_record files that are decoded anew for every patch, with threads and with worker processes, beside
the rate at which the bare training step of configs/bbbc039_64.py takes patches. Writes benchmarks/results/data.json.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import tyro

from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.config import load_config, override
from jaxdiff.data.config import BBBC039, Folder, Tfds, open_data
from jaxdiff.data.loader import Loader
from jaxdiff.data.maps import MapName
from jaxdiff.data.prepared.prepare import prepare
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.loss import DenoisingLoss
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

BATCH, BATCHES, REPEATS = 32, 100, 5


def rate(path: Path, size: int, binning: int) -> float:
    """Patches a second with masks, median over repeats, after every file was decoded once."""
    data = open_data(BBBC039(path=path, binning=binning), (size, size), seed=0)
    loader = Loader(data.train, data.normaliser, (size, size), BATCH)
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(BATCHES):
            next(loader)
        rates.append(BATCH * BATCHES / (time.perf_counter() - began))
    return statistics.median(rates)


def from_records(path: Path, folder: Path, size: int) -> dict[str, float]:
    """Patches a second, with masks, of tiles of 256 x 256 in array_record files, nothing kept in memory."""
    fields = path / "train"
    prepare(fields / "images", folder, "tiles", masks=fields / "masks", tile=(256, 256))
    rates = {}
    for name, options in {"1 thread": (1, 0), "2 threads": (2, 0), "1 worker": (1, 1), "2 workers": (1, 2)}.items():
        data = open_data(Tfds("tiles", folder, cache_gb=0), (size, size), seed=0)
        threads, workers = options
        loader = Loader(data.train, data.normaliser, (size, size), BATCH, threads=threads, workers=workers)
        for _ in range(4):  # processes start, buffers fill
            next(loader)
        began = time.perf_counter()
        for _ in range(BATCHES):
            next(loader)
        rates[name] = round(BATCH * BATCHES / (time.perf_counter() - began))
        loader.close()
    return rates


def taken(path: Path, steps: int = 10) -> float:
    """Patches a second that the training step of configs/bbbc039_64.py takes, on a batch on the device."""
    config = override(load_config("configs/bbbc039_64.py"), [], "")
    images = np.random.default_rng(0).standard_normal((config.batch_size, *config.patch, 1), dtype=np.float32)
    loss = DenoisingLoss(lam_sampler=Stratified(config.schedule), weighting=config.weighting)
    optimizer = config.optimizer.build()
    step = make_train_step(loss, optimizer, ema=config.ema)
    state = step.place(TrainState.create(jax.random.key(0), config.network, optimizer, {"image": images}))
    for turn in range(steps + 1):
        if turn == 1:
            began = time.perf_counter()
        state, _ = step(state, {"image": images}, jax.random.key(1))
        jax.block_until_ready(state)
    return steps * config.batch_size / (time.perf_counter() - began)


def brightest(path: Path, kind: MapName) -> float:
    """The largest value of the training fields after the map, in standard deviations."""
    data = open_data(Folder(path=path / "train" / "images", validation=0, normalise=kind), (64, 64), seed=0)
    return max(float(np.max(data.normaliser.forward(data.train[i]["image"]))) for i in range(len(data.train)))


def main(path: tyro.conf.Positional[Path]) -> None:
    """All of it.

    Args:
        path: the BBBC039 folder.
    """
    store = Store("data")
    machine = store.machine()
    sizes = {"32, binned by 2": (32, 2), "64": (64, 1), "128": (128, 1)}
    with tempfile.TemporaryDirectory() as folder:
        records = from_records(path, Path(folder), 64)
    step = taken(path)
    result = {
        "machine": machine,
        "loader_patches_per_second": {name: round(rate(path, *size)) for name, size in sizes.items()},
        "array_record_patches_of_64_per_second": records,
        "step_takes_patches_of_64_per_second": round(step, 1),
        "loader_over_step": {name: round(rate / step, 1) for name, rate in records.items()},
        "brightest_pixel_in_standard_deviations": {kind: round(brightest(path, kind), 2) for kind in get_args(MapName)},
    }
    print(result)
    store.write(result)


if __name__ == "__main__":
    command(main, __doc__)
