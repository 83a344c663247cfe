"""The rate of bulk runs beside that of pure sampling, and how fast the host is when sampling costs nothing."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.clock import turns
from jaxdiff.bulk import Job, bulk
from jaxdiff.bulk.run import program_of
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.model import Model

FORMATS = ("zarr", "array_record")
NORMALISER = Normaliser("asinh", (200.0,), (90.0,), (0.8,), (0.9,))
INFO = DataInfo(class_names=("a", "b", "c", "d"))


Part = Literal["rate", "host", "kills", "processes", "full_disk"]


@dataclass(frozen=True)
class Options:
    """What is measured."""

    parts: tuple[Part, ...] = get_args(Part)
    pairs: int = 5
    size: int = 32
    """Pixels of an image's side."""
    width: int = 64
    calls: int = 20
    batch: int = 16
    micro_batches: int = 8
    """In a run whose rate is measured, in two shards."""
    kills: int = 10
    seed: int = 0
    """Of the moments of the kills."""


def rate(options: Options, folder: Path) -> dict[str, Any]:
    """For each format: pairs of pure sampling and a whole bulk run of the same micro-batches, in alternation.

    host: the same run where sampling costs nothing, that is, all that could be lost if nothing overlapped.
    """
    model = model_of(options.size, options.width)
    shard = options.batch * jax.local_device_count() * options.micro_batches // 2
    num = 2 * shard

    def job(name: str, format: Any) -> Job:
        cond = model.condition(num, np.arange(num) % 4)
        grid = model.grid(options.calls)
        parts = {"format": format, "batch": options.batch, "shard": shard}
        return Job(model, num, folder / name, jd.DPMpp(2), grid, cond=cond, **parts)

    program = program_of(job("", "zarr"), options.batch)
    one = job("", "zarr").cond_of(0, program.size, program.size)

    def pure() -> None:
        for first in range(0, num, program.size):
            jax.block_until_ready(program(first, one))

    pure()
    rows: dict[str, Any] = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(model.denoise)), "images": num}
    for format in FORMATS:
        free = Free(program.size, model.shape)
        bulk(job(f"{format}_first", format), lambda batch, free=free: free)  # imports and the like
        names = itertools.count()
        whole = lambda names=names, format=format: bulk(job(f"{format}_{next(names)}", format), lambda _: program)  # noqa: E731
        times = turns({"bulk": lambda: measured(whole), "pure": lambda: measured(pure)}, options.pairs)  # noqa: B023
        pairs = list(zip(times["pure"], times["bulk"]))
        for alone, run in pairs:
            print(f"{format}: pure {num / alone[0]:.2f} images/s, bulk {num / run[0]:.2f}", flush=True)
        hosts = [
            measured(lambda i=i, free=free, format=format: bulk(job(f"{format}_h{i}", format), lambda _: free))
            for i in range(5)
        ]
        ratios, of_processor = ([alone[k] / run[k] for alone, run in pairs] for k in (0, 1))
        rows[format] = {
            "ratio_median": round(statistics.median(ratios), 4),
            "ratios": np.round(ratios, 4).tolist(),
            "processor_time_ratio_median": round(statistics.median(of_processor), 4),
            "processor_time_ratios": np.round(of_processor, 4).tolist(),
            "host_seconds": round(statistics.median(clock for clock, _ in hosts), 3),
            "host_processor_seconds": round(statistics.median(processor for _, processor in hosts), 3),
            "pure_processor_seconds": round(statistics.median(alone[1] for alone, _ in pairs), 3),
            "pure_images_per_second": round(num / statistics.median(alone[0] for alone, _ in pairs), 3),
            "bulk_images_per_second": round(num / statistics.median(run[0] for _, run in pairs), 3),
        }
    return rows


def host(folder: Path, num: int = 8192, size: int = 64) -> dict[str, Any]:
    """For each format: images a second that the host converts, compresses and writes when sampling costs nothing."""
    model, rows = model_of(size, 16), {"images": num, "pixels": size * size}
    cond = model.condition(num, np.arange(num) % 4)
    for format in FORMATS:
        free, seconds = Free(256, model.shape), []
        for i in range(3):
            parts: dict[str, Any] = {"format": format, "batch": 256, "shard": 2048}
            job = Job(model, num, folder / f"host_{format}_{i}", jd.DPMpp(2), model.grid(2), cond=cond, **parts)
            seconds.append(measured(lambda job=job, free=free: bulk(job, lambda batch: free)))
        rate = num / statistics.median(second for second, _ in seconds)
        rows[format] = {
            "images_per_second": round(rate, 1),
            "images_per_processor_second": round(num / statistics.median(second for _, second in seconds), 1),
            "megabytes_per_second": round(rate * size * size * 2 / 1e6, 1),
        }
        print(f"host alone, {format}: {rows[format]}", flush=True)
    return rows


class Free:
    """A program whose result is there already: noise, the same each time."""

    calls, bytes = 2, 0

    def __init__(self, size: int, shape: tuple[int, ...]):
        self.batch = self.size = size
        self._drawn = np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32), np.ones(size, bool)

    def __call__(self, first, cond):
        return self._drawn


def model_of(size: int, width: int) -> Model:
    """An untrained UNet of four classes."""
    network, shape = jd.UNet(width=width, patch_size=2, num_classes=4), (size, size, 1)
    cond = {"label": jnp.zeros(1, jnp.int32)}
    params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1), cond)
    return Model(jd.bind(network, params), network, schedule=jd.Cosine(), shape=shape, normaliser=NORMALISER, info=INFO)


def measured(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    began = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began[0], time.process_time() - began[1]
