"""`python -m benchmarks.data PATH/bbbc039`: rate of the loader alone, and how far each map leaves the brightest pixel.

Writes benchmarks/results/data.json.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.machine import describe, write
from jaxdiff.data.config import BBBC039, Folder, open_data
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Map

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


def brightest(path: Path, kind: Map) -> float:
    """The largest value of the training fields after the map, in standard deviations."""
    data = open_data(Folder(path=path / "train" / "images", validation=0, normalise=kind), (64, 64), seed=0)
    return max(float(np.max(data.normaliser.forward(data.train[i]["image"]))) for i in range(len(data.train)))


def main(path: Path) -> None:
    machine = describe()
    sizes = {"32, binned by 2": (32, 2), "64": (64, 1), "128": (128, 1)}
    result = {
        "machine": machine,
        "loader_patches_per_second": {name: round(rate(path, *size)) for name, size in sizes.items()},
        "brightest_pixel_in_standard_deviations": {kind: round(brightest(path, kind), 2) for kind in get_args(Map)},
    }
    print(result, "written:", write("data", result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
