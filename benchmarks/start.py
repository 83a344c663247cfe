"""How soon the first images are there: `sample.py generate` and an exported sampler, in new processes, cold and again.

    python -m benchmarks.start [--num 1] [--batch 1] [--repeats 5]

Each start is a process of its own on the demo's network with random weights; the first of each kind finds an empty
compilation cache, the others what the first one stored. Quoted are medians: seconds on the clock, seconds of processor
time (which other processes on the machine disturb less), programs that JAX asked for and how many of them it compiled.
Then the exported file: time to write, size, and seconds a call of it and of `model.sample` for a batch, side by side.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import export

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.commands.demo_train import config as demo
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.durable import write_json
from jaxdiff.interop import export_sampler
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.run_folder import describe as describe_run

COUNTING = """
import json, sys, time
began = time.perf_counter()
import jax
events, spans = [], {}
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.rsplit("/", 1)[1]))
def note(name, seconds, **_):
    name = name.rsplit("/", 1)[1]
    spans[name] = max(spans.get(name, 0.0), seconds)
    events.append(name)
jax.monitoring.register_event_duration_secs_listener(note)
def report(imported):
    print(json.dumps(dict(
        programs=events.count("backend_compile_duration"), compiled=events.count("cache_misses"),
        seconds_to_import=imported - began, seconds_to_trace=spans["jaxpr_trace_duration"],
        seconds_to_lower=spans["jaxpr_to_mlir_module_duration"],
        seconds_to_compile_or_read=spans["backend_compile_duration"],
    )))
"""

SCRIPT = f"""{COUNTING}
from jaxdiff import cli, script
import jaxdiff.commands.generate
imported = time.perf_counter()
assert script.run(cli.COMMANDS["sample"], sys.argv[1:], "sample.py") == 0
report(imported)
"""

EXPORTED = f"""{COUNTING}
import numpy as np
from jax import export
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
imported = time.perf_counter()
path, num = sys.argv[1], int(sys.argv[2])
file = np.load(path)
weights = jax.device_put({{name: file[name] for name in file.files if name.startswith("weights/")}})
sampler = jax.jit(export.deserialize(bytearray(file["sampler.stablehlo"])).call)
index = np.arange(num, dtype=np.int32)
np.asarray(sampler(weights, np.uint32(0), index, {{"label": index % 4}}))
report(imported)
"""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    num: int = 1
    """Images of a start."""
    batch: int = 1
    """Images in a program."""
    steps: int = 20
    repeats: int = 5
    """Starts with a filled cache."""
    call: int = 16
    """Images of a timed call of the exported sampler and of `model.sample`."""


def random_run(folder: Path) -> Path:
    """The run folder of the demo's network before training, its weights random."""
    shape = (*demo.patch, 1)
    batch = {"image": np.zeros((1, *shape)), "cond": {"label": np.zeros(1, np.int32)}}
    shapes = jd.TrainState.shapes(jax.random.key(0), demo.network, optax.sgd(0.1), batch)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: (0.05 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {}, wait=True)
    normaliser = Normaliser("asinh", (163.0,), (120.0,), (0.36,), (0.83,))
    write_json(folder / "run.json", describe_run(demo, DataInfo(channel_names=("nuclei",)), normaliser))
    return folder


def start(code: str, arguments: list[Any], cache: Path) -> dict[str, float]:
    """One process: what it reports, seconds on the clock and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        sys.exit(child.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": processor, **json.loads(child.stdout.splitlines()[-1])}


def starts(name: str, code: str, arguments, folder: Path, repeats: int) -> dict[str, Any]:
    """The first start, and the median of those that follow it."""
    cache = folder / f"cache_{name}"
    rows = [start(code, arguments(i), cache) for i in range(1 + repeats)]
    again = {key: statistics.median(row[key] for row in rows[1:]) for key in rows[0]}
    result = {"first": _rounded(rows[0]), "again": _rounded(again)}
    for which, row in result.items():
        print(
            f"{name:10} {which:6} {row['seconds']:6.2f} s, processor {row['processor_seconds']:6.2f} s, "
            f"{row['compiled']:.0f} of {row['programs']:.0f} programs compiled"
        )
    return result


def exported(model, path: Path, options: Options) -> dict[str, Any]:
    """Writing the file, and calls of it beside those of the model."""
    began = time.perf_counter()
    export_sampler(model, path, calls=options.steps)
    seconds = time.perf_counter() - began
    file = np.load(path)
    weights = jax.device_put({name: file[name] for name in file.files if name.startswith("weights/")})
    program = jax.jit(export.deserialize(bytearray(file["sampler.stablehlo"])).call)
    index = np.arange(options.call, dtype=np.int32)
    label = index % model.network.num_classes
    cond, key = model.condition(options.call, label), jax.random.key(0)
    runs = {
        "exported": lambda: np.asarray(program(weights, np.uint32(0), index, {"label": label})),
        "model.sample": lambda: np.asarray(model.sample(key, options.call, calls=options.steps, cond=cond).images),
    }
    images = {name: run() for name, run in runs.items()}
    clocks = {"seconds_a_call": time.perf_counter, "processor_seconds_a_call": time.process_time}
    times = {clock: {name: [] for name in runs} for clock in clocks}
    for _ in range(options.repeats):
        for name, run in runs.items():
            began = {clock: read() for clock, read in clocks.items()}
            run()
            for clock, read in clocks.items():
                times[clock][name].append(read() - began[clock])
    difference = np.abs(model.normaliser.forward(images["exported"]) - model.normaliser.forward(images["model.sample"]))
    result = {
        "seconds_to_export": seconds,
        "file_megabytes": path.stat().st_size / 1e6,
        "program_kilobytes": zipfile.ZipFile(path).getinfo("sampler.stablehlo").file_size / 1e3,
        **{clock: {name: statistics.median(of) for name, of in rows.items()} for clock, rows in times.items()},
        "largest_difference_in_standard_deviations": float(difference.max()),
    }
    print(json.dumps(_rounded(result), indent=1))
    return _rounded(result)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded(value) if isinstance(value, dict) else float(f"{value:.4g}") for key, value in values.items()}


def main(options: Options) -> None:
    store = Store("start")
    machine = store.machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = random_run(folder / "run")
        fixed = ["--num", options.num, "--batch", options.batch, "--calls", options.steps]
        generate = starts(
            "sample.py",
            SCRIPT,
            lambda i: ["generate", "--run", run, "--out", folder / f"images_{i}", *fixed],
            folder,
            options.repeats,
        )
        path = folder / "sampler.zip"
        file = exported(jd.load(run), path, options)
        alone = starts("exported", EXPORTED, lambda i: [path, options.num], folder, options.repeats)
    result = {"sample.py generate": generate, "exported, alone": alone, "export": file}
    store.write({"machine": machine, "options": asdict(options), **result})


if __name__ == "__main__":
    command(main, __doc__)
