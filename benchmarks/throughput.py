"""jaxdiff against PyTorch diffusers: images a second with the same network, weights, solver, calls and start states.

    python -m benchmarks.throughput --torch-python OTHER_ENVIRONMENT/bin/python [--check] [--cores 1]

The other environment needs torch, diffusers and safetensors. Each side is a process: jaxdiff, PyTorch eager, and
`torch.compile` once for each of `--modes`; PyTorch's networks are channels-last and run under diffusers' scheduler. Whole
trajectories take turns, and ratios are of neighbours, so that a machine that slows down slows all. bfloat16 on a GPU,
float32 on a CPU. Before a network is timed, its outputs are compared in float32; `--check` compares more of them, whole
trajectories too, and times nothing.

Results go to benchmarks/results/throughput.json under "cpu" or "gpu", whichever PyTorch finds here; the other is kept, and
so are networks that were measured before on the same processor, cores and versions.
`python -m benchmarks.throughput_report` makes the figure and the table.
"""

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import ratios, turns
from benchmarks.command import command
from benchmarks.peers.networks import NETWORKS, Network
from benchmarks.peers.protocol import Peer
from benchmarks.store import Store

LIMIT = 1e-4
"""Largest difference from PyTorch in float32, relative to the largest output."""
EXACT = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
"""Environment of comparisons, so that they tell mistakes from short products."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    torch_python: str
    """Python of the environment with torch, diffusers and safetensors."""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """Of `benchmarks.peers.networks.NETWORKS`."""
    rounds: int = 5
    """Turns of each side."""
    calls: int | None = None
    """Network calls of a trajectory; default 20 on a GPU, 4 on a CPU."""
    batch: int | None = None
    """Images at once; default the network's own for a GPU or a CPU."""
    solver: str = "DPM++2M"
    """DDIM or DPM++2M."""
    modes: tuple[str, ...] = ("default",)
    """Modes of torch.compile, such as default, reduce-overhead and max-autotune."""
    cores: int | None = None
    """CPU cores for every side; default all that this process may use."""
    check: bool = False
    """Compare outputs only."""


def sides(stack: ExitStack, options: Options, modes: tuple[str, ...] = (), **environment: str) -> dict[str, Peer]:
    """Running processes by name: jaxdiff, eager, and one for each mode of torch.compile."""
    cores = len(os.sched_getaffinity(0))
    environment |= {"OMP_NUM_THREADS": str(cores), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment |= {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # neither side finds what an earlier run compiled
    torch = (options.torch_python, "benchmarks.peers.torch_side")
    pythons = {"jaxdiff": (sys.executable, "benchmarks.peers.jaxdiff_side"), "eager": torch}
    pythons |= {f"compile {mode}": torch for mode in modes}
    return {name: stack.enter_context(Peer(*python, **environment)) for name, python in pythons.items()}


def make(peers: dict[str, Peer], network: Network, folder: Path) -> None:
    """Random weights of the network, in folder/model."""
    what = {"folder": str(folder / "model"), "config": network.config, "seed": 0}
    if network.own:
        peers["jaxdiff"]("make", size=network.size, **what)
    else:
        peers["eager"]("make", **what)


def best_product(options: Options, dtype: str, on_gpu: bool) -> dict[str, float]:
    """TFLOP/s of a large matrix product in each framework; short ones on a CPU, so that some meet no interruption."""
    product = dict(size=8192, repeats=20) if on_gpu else dict(size=1024, repeats=200)
    with ExitStack() as stack:
        return {name: round(peer("peak", dtype=dtype, **product), 4) for name, peer in sides(stack, options).items()}


def start_states(network: Network, batch: int, folder: Path) -> str:
    """The file of the states that every side starts from."""
    shape = (batch, network.size, network.size, network.channels)
    np.save(folder / "start.npy", np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    return str(folder / "start.npy")


def differences(peers: dict[str, Peer], folder: Path, start: str, labels=(500,), solvers=()) -> dict[str, float]:
    """Of single calls at trained steps and of trajectories of 8 calls, relative to the largest value.

    Raises RuntimeError where one is above `LIMIT`.
    """
    by_name = {}
    files = {name: str(folder / f"{name}.npy") for name in ("jaxdiff", "eager")}
    for name in files:
        peers[name]("open", folder=str(folder / "model"), dtype="float32")

    def compare(what: str, do: str, **arguments: Any) -> None:
        for name, file in files.items():
            peers[name](do, start=start, out=file, **arguments)
        ours, theirs = (np.load(file) for file in files.values())
        by_name[what] = float(f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.2g}")
        if not by_name[what] <= LIMIT:
            raise RuntimeError(f"got {what} that differs by {by_name[what]} from PyTorch's; expected at most {LIMIT}")

    for label in labels:
        compare(f"step {label}", "call", label=label)
    for solver in solvers:
        compare(solver, "sample", calls=8, solver=solver)
    return by_name


def measure(peers: dict[str, Peer], folder: Path, start: str, dtype: str, calls: int, options: Options) -> dict:
    """Times of whole trajectories that take turns, and what follows from them."""
    run = dict(start=start, calls=calls, solver=options.solver)
    opened, first = {}, {}
    for name, peer in peers.items():
        mode = {"compiled": name.split()[1]} if name.startswith("compile") else {}
        opened[name] = peer("open", folder=str(folder / "model"), dtype=dtype, **mode)
        first[name] = peer("sample", **run)
        peer("sample", **run)
        print(f"    {name:16} first trajectory {first[name]:7.1f} s", flush=True)
    times = turns({name: partial(peer, "sample", **run) for name, peer in peers.items()}, options.rounds)
    batch, flops = len(np.load(start)), peers["jaxdiff"]("flops", start=start)
    rows = {}
    for name, peer in peers.items():
        seconds = statistics.median(times[name])
        faster, quartiles = ratios(times[name], times["jaxdiff"])
        rows[name] = {
            "seconds": round(seconds, 4),
            "images_per_second": round(batch / seconds, 4),
            "nfe_images_per_second": round(batch * calls / seconds, 3),
            "tflops_per_second": round(1e-12 * flops * calls / seconds, 4),
            "jaxdiff_is_faster_by": round(faster, 3),
            "jaxdiff_is_faster_by_quartiles": np.round(quartiles, 3).tolist(),
            "compile_seconds": round(max(0.0, first[name] - seconds), 2),
            "peak_memory_gb": round(1e-9 * peer("memory"), 3),
        }
        print(
            f"    {name:16} {batch * calls / seconds:9.2f} NFE·images/s   jaxdiff ×{rows[name]['jaxdiff_is_faster_by']}"
        )
    return {
        "parameters": opened["jaxdiff"]["parameters"],
        "batch": batch,
        "calls": calls,
        "gflop_per_image_and_call": round(1e-9 * flops / batch, 3),
        "sides": rows,
    }


def one_network(name: str, options: Options, dtype: str, on_gpu: bool) -> dict[str, Any]:
    """Compares a network's outputs and, unless only that is asked for, times it, in fresh processes."""
    network, load = NETWORKS[name], round(os.getloadavg()[0], 2)
    print(f"{name}: load {load}", flush=True)
    batch = options.batch or (network.gpu_batch if on_gpu else network.cpu_batch)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ExitStack() as stack:
            peers = sides(stack, options, **EXACT)
            make(peers, network, folder)
            more = dict(labels=(0, 17, 500, 999), solvers=("DDIM", "DPM++2M")) if options.check else {}
            errors = differences(peers, folder, start_states(network, min(2, batch), folder), **more)
            print(f"    differences from PyTorch in float32: {errors}", flush=True)
        result = {"load": load, "differences": errors}
        if not options.check:
            with ExitStack() as stack:
                peers = sides(stack, options, options.modes)
                start, calls = start_states(network, batch, folder), options.calls or (20 if on_gpu else 4)
                result |= measure(peers, folder, start=start, dtype=dtype, calls=calls, options=options)
    return result


def store(kind: str, machine: dict, options: dict, peaks: list[dict[str, float]], networks: dict[str, Any]) -> None:
    """Writes the results, beside those of the other kind of device and of networks measured before on the same machine."""
    results = Store("throughput", empty={"cpu": None, "gpu": None})
    stored = results.read()
    before = stored[kind] or {"machine": {}}
    if all(before["machine"].get(what) == machine[what] for what in ("cores", "processor", "versions", "torch")):
        networks = before["networks"] | networks
        peaks = [*peaks, before["matrix_product_tflops_per_second"]]
    best = {side: max(peak[side] for peak in peaks) for side in peaks[0]}
    run = {"machine": machine, "options": options, "matrix_product_tflops_per_second": best, "networks": networks}
    results.write({**stored, kind: run})


def main(options: Options) -> None:
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    with ExitStack() as stack:
        peers = sides(stack, options)
        machine = {**peers["jaxdiff"]("describe"), "torch": peers["eager"]("describe")}
    on_gpu = machine["torch"]["device"] != "cpu"
    if on_gpu == (machine["devices"] == ["cpu"]):
        raise RuntimeError(
            f"got {machine['devices']} in JAX, {machine['torch']['device']} in PyTorch; expected one device"
        )
    dtype = "bfloat16" if on_gpu else "float32"
    if options.check:
        for name in options.networks:
            one_network(name, options, dtype, on_gpu)
        return
    before = best_product(options, dtype, on_gpu)
    networks = {name: one_network(name, options, dtype, on_gpu) for name in options.networks}
    peaks = [before, best_product(options, dtype, on_gpu)]
    settings = {**asdict(options), "torch_python": "", "dtype": dtype}
    store("gpu" if on_gpu else "cpu", machine, settings, peaks, networks)


if __name__ == "__main__":
    command(main, __doc__)
