"""Bulk generation: its rate beside pure sampling, ten kills, two processes, a full disk.

    python -m benchmarks.bulk [--parts rate host kills processes full_disk] [--pairs 5] [--kills 10] [--seed 0]

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

Parts that are left out keep their earlier result. Kills, processes and full disk run on the CPU, where bytes are
comparable; rate and host on what JAX finds, those of a GPU beside those of the CPU under "gpu".
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from benchmarks.bulk.interruptions import full_disk, kills, processes, random_run, undisturbed
from benchmarks.bulk.rate import FORMATS, Options, host, rate
from benchmarks.command import command
from benchmarks.store import Store


def main(options: Options) -> str | None:
    store = Store("bulk", ("tensorstore", "array_record", "tensorflow-datasets"))
    result = store.read()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], Any]] = {"rate": lambda: rate(options, folder), "host": lambda: host(folder)}
        if {"kills", "processes", "full_disk"} & set(options.parts):
            run, moments = random_run(folder / "run"), random.Random(options.seed)
            files = {format: undisturbed(run, folder, format) for format in FORMATS}
            parts |= {
                "kills": lambda: [
                    kills(options.kills, run, folder=folder, expected=files[f], format=f, rng=moments) for f in FORMATS
                ],
                "processes": lambda: processes(run, folder, files["zarr"]),
                "full_disk": lambda: [full_disk(run, folder, files["zarr"])],
            }
        for part in options.parts:
            measured = {"machine": store.machine(), "options": asdict(options), "result": parts[part]()}
            if part in ("rate", "host") and jax.default_backend() != "cpu":
                before = result.get("gpu")
                result["gpu"] = {**(before if isinstance(before, dict) else {}), part: measured}
            else:
                result[part] = measured
    result.setdefault("gpu", "not measured yet")
    store.write(result)
    rows = [row for part in ("kills", "processes", "full_disk") for row in result.get(part, {"result": []})["result"]]
    return None if all(row["same_bytes"] for row in rows) else "bytes differ"


if __name__ == "__main__":
    command(main, __doc__)
