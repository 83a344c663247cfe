"""Bulk generation: its rate beside pure sampling, ten kills, two processes, a full disk.

    python -m benchmarks.bulk [--pairs 5] [--kills 10] [--seed 0]

* rate: whole bulk runs (sampling, conversion, compression, writing, manifest) beside the same micro-batches sampled one
  after the other with nothing else, in alternation; the ratio of a pair is of these two, the median is quoted. Beside it
  the same of processor time, which other programs disturb less: what the host's part costs where it is the device too.
* host: how many images a second the host converts, compresses and writes when sampling costs nothing: the device's rate
  from which on the host would hold it up.
* kills: `sample.py generate` in a process of its own, killed at random moments until it has been killed often enough, then
  to the end; its bytes beside those of an undisturbed run.
* processes: two of four forced CPU devices each, joined by jax.distributed, beside one of one and one of four; and with
  one of the two killed, whose part another run makes.
* full disk: a small file system in memory, where the system lets one be mounted; enlarged for the resume.

Kills, processes and full disk run on the CPU, where bytes are comparable; rate and host on what JAX finds.
"""

import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import jax
import tyro

from benchmarks.bulk.interruptions import full_disk, kills, processes, random_run, undisturbed
from benchmarks.bulk.rate import FORMATS, Options, host, rate
from benchmarks.machine import describe, write


def main(options: Options) -> None:
    machine = describe(("tensorstore", "array_record", "tensorflow-datasets"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {"machine": machine, "options": asdict(options), "gpu": "not measured yet"}
        if jax.default_backend() != "cpu":
            result.pop("gpu")
        result["rate"], result["host"] = rate(options, folder), host(folder)
        run = random_run(folder / "run")
        whole = {format: undisturbed(run, folder, format) for format in FORMATS}
        moments = random.Random(options.seed)
        result["kills"] = {
            format: kills(options.kills, run, folder, whole[format], format, moments) for format in FORMATS
        }
        result["processes"] = processes(run, folder, whole["zarr"])
        result["full_disk"] = full_disk(run, folder, whole["zarr"])
    print(f"written: {write('bulk', result)}")
    same = [part["same_bytes"] for part in (*result["kills"].values(), *result["processes"], result["full_disk"])]
    if not all(same):
        sys.exit("bytes differ")


if __name__ == "__main__":
    main(tyro.cli(Options))
