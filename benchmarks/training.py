"""A training step against PyTorch with the same network and weights: forward, backward, AdamW, average of the parameters.

    python -m benchmarks.training --torch-python OTHER_ENVIRONMENT/bin/python [--cores 1] [--networks own_64]

The other environment needs torch, diffusers and safetensors. Sides are processes that take turns: jaxdiff's
`make_train_step`, PyTorch eager and `torch.compile` (channels-last, fused AdamW). bfloat16 on a GPU (autocast there, our
UNet's `dtype` here), float32 on a CPU. The second part is one process: the training loop with its loader, metrics and
clocks against the bare compiled step on a batch that lies on the device, 25 steps each in turns. Results:
benchmarks/results/training.json, under "cpu" or "gpu", whichever is found; the other is kept.
"""

import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxdiff as jd
from benchmarks import throughput
from benchmarks.machine import RESULTS, describe, write
from benchmarks.peers.networks import NETWORKS
from jaxdiff.cli import use_compilation_cache
from jaxdiff.data.config import Synthetic
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.flops import peak
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.loop import _Run
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step


@dataclass(frozen=True)
class Options:
    """What is measured."""

    torch_python: str | None = None
    """Python of the environment with torch, diffusers and safetensors; none: the loop alone."""
    networks: tuple[str, ...] = ("own_64", "cifar_32")
    """Of `benchmarks.peers.networks.NETWORKS`."""
    batch: int | None = None
    """Images a step; default the network's own for a GPU or a CPU."""
    steps: int = 3
    """In one turn."""
    rounds: int = 5
    """Turns of each side."""
    loop_rounds: int = 20
    """Turns of the loop and the bare step."""
    compiled: bool = True
    """Also `torch.compile`."""
    loop: bool = True
    """Also the loop against the bare step."""
    remat: bool = True
    """Also what rematerialisation costs and saves."""
    cores: int | None = None
    """CPU cores for every side; default all that this process may use."""


def against_torch(name: str, options: Options, on_gpu: bool) -> dict[str, Any]:
    """Times of turns of all sides, in fresh processes, after their outputs have been compared."""
    assert options.torch_python is not None
    network = NETWORKS[name]
    batch = options.batch or (network.gpu_batch if on_gpu else network.cpu_batch)
    dtype, load = "bfloat16" if on_gpu else "float32", round(os.getloadavg()[0], 2)
    asked = throughput.Options(options.torch_python)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ExitStack() as stack:
            peers = throughput.sides(stack, asked, **throughput.EXACT)
            throughput.make(peers, network, folder)
            found = throughput.differences(peers, folder, throughput.start_states(network, 2, folder))
        with ExitStack() as stack:
            peers = throughput.sides(stack, asked, ("default",) if options.compiled else ())
            start, rows = throughput.start_states(network, batch, folder), {}
            for side, peer in peers.items():
                mode = {"compiled": side.split()[1]} if side.startswith("compile") else {}
                opened = peer("open", folder=str(folder / "model"), dtype=dtype, **mode)
                peer("train_open", start=start)
                rows[side] = {"first_step_seconds": round(peer("train", steps=1)["seconds"], 2)}
                peer("train", steps=1)
            names, times, flops = list(peers), {side: [] for side in peers}, 0.0
            for turn in range(options.rounds):
                for side in names[turn % len(names) :] + names[: turn % len(names)]:
                    answer = peers[side]("train", steps=options.steps)
                    times[side].append(answer["seconds"] / options.steps)
                    flops = answer.get("flops", flops)
            for side, peer in peers.items():
                seconds = statistics.median(times[side])
                ratios = [theirs / ours for theirs, ours in zip(times[side], times["jaxdiff"])]
                rows[side] |= {
                    "seconds_a_step": round(seconds, 4),
                    "images_per_second": round(batch / seconds, 3),
                    "tflops_per_second": round(flops / seconds / 1e12, 4),
                    "mfu": round(flops / seconds / top, 4) if (top := peak() if on_gpu else None) else None,
                    "jaxdiff_is_faster_by": round(statistics.median(ratios), 3),
                    "jaxdiff_is_faster_by_quartiles": np.quantile(ratios, [0.25, 0.75]).round(3).tolist(),
                    "peak_memory_gb": round(1e-9 * peer("memory"), 3),
                }
                print(f"{name} {side:16} {rows[side]}", flush=True)
    return {
        "parameters": opened["parameters"],
        "batch": batch,
        "dtype": dtype,
        "load": load,
        "differences": found,
        "gflop_per_image_and_step": round(1e-9 * flops / batch, 3),
        "sides": rows,
    }


class _Interleaved(_Run):
    """A run that takes as many bare steps, on a batch and a state of their own, after each row of metrics."""

    def bare(self, steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            self.own, _ = self.step_fn.program(self.own, self.placed, self.key, np.float32(0.5))
        jax.block_until_ready(self.own)
        return time.perf_counter() - begin

    def _steps(self, interrupt: Any, due: Any) -> None:
        self.times: list[tuple[float, float]] = []
        images = np.random.default_rng(0).standard_normal((self.config.batch_size, *self.config.patch, 1), np.float32)
        self.placed = self.step_fn.place_batch({"image": images})
        self.own = jax.tree.map(jnp.copy, self.step_fn.place(self.state))
        self.bare(1)
        self.begin = time.perf_counter()
        super()._steps(interrupt, due)

    def _report(self, row: dict[str, float]) -> None:
        super()._report(row)
        ours = time.perf_counter() - self.begin
        self.times.append((ours, self.bare(self.config.log_every)))
        self.begin = time.perf_counter()


def loop_against_bare_step(on_gpu: bool, rounds: int, steps: int = 25) -> dict[str, Any]:
    """Step time of `train` (loader, metrics, clocks, a row at the end) over that of its compiled step, in turns."""
    batch = 256 if on_gpu else 16
    network = jd.UNet(width=128 if on_gpu else 64, patch_size=2, dtype="bfloat16" if on_gpu else "float32")
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            name="loop",
            out=folder,
            data=Synthetic(num=512),
            patch=(64, 64) if on_gpu else (32, 32),
            network=network,
            batch_size=batch,
            steps=(rounds + 1) * steps,
            log_every=steps,
            checkpoint=Every(),
            preview=Every(),
            validation=Every(),
            previews=0,
            validation_images=0,
        )
        with ExitStack() as stack:
            run = _Interleaved(config, stack)
            run.train()
    times = run.times[1:]  # the first holds the compilation
    ratios = [ours / bare for ours, bare in times]
    return {
        "batch": batch,
        "patch": list(config.patch),
        "steps_in_a_turn": steps,
        "images_per_second": round(batch * steps / statistics.median(ours for ours, _ in times), 2),
        "bare_step_images_per_second": round(batch * steps / statistics.median(bare for _, bare in times), 2),
        "step_time_over_bare": round(statistics.median(ratios), 4),
        "step_time_over_bare_quartiles": np.quantile(ratios, [0.25, 0.75]).round(4).tolist(),
        "machine": describe(("optax",)),
    }


def rematerialisation(on_gpu: bool, rounds: int = 5) -> dict[str, Any]:
    """What each policy of `UNet.remat` costs in time, and the bytes that it keeps from the forward for the backward pass.

    The compiled step's own temporary memory stands beside it; XLA's CPU backend orders the work so that it stays the same.
    """
    batch, size = (64, 128) if on_gpu else (8, 256)
    images = {"image": np.random.default_rng(0).standard_normal((batch, size, size, 1), np.float32)}
    loss, optimizer = jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine())), AdamW().build()
    steps, states, times, found = {}, {}, {}, {}
    for remat in ("none", "cheap", "all"):
        network = jd.UNet(remat=remat, patch_size=2, dtype="bfloat16" if on_gpu else "float32")
        step = make_train_step(loss, optimizer)
        state = step.place(TrainState.create(jax.random.key(0), network, optimizer, images))
        placed = step.place_batch(images)
        lowered = step.program.lower(state, placed, jax.random.key(1), np.float32(0))
        forward = lambda params: loss(network, params, jax.random.key(1), images)[0]  # noqa: B023, E731
        kept = jax.tree.leaves(jax.eval_shape(lambda p: jax.vjp(forward, p)[1], state.params))  # noqa: B023
        found[remat] = {
            "kept_mb": round(sum(leaf.size * leaf.dtype.itemsize for leaf in kept) / 1e6, 1),
            "temporary_mb": round(lowered.compile().memory_analysis().temp_size_in_bytes / 1e6, 1),
        }
        steps[remat], states[remat], times[remat] = step, step(state, placed, jax.random.key(1))[0], []
    for _ in range(rounds):
        for remat, step in steps.items():
            begin = time.perf_counter()
            states[remat] = jax.block_until_ready(step(states[remat], images, jax.random.key(1))[0])
            times[remat].append(time.perf_counter() - begin)
    for remat, row in found.items():
        ratios = [one / plain for one, plain in zip(times[remat], times["none"])]
        row |= {"step_time_over_none": round(statistics.median(ratios), 3)}
    return {"batch": batch, "size": size, **found}


def main(options: Options) -> None:
    use_compilation_cache()
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    on_gpu = jax.default_backend() == "gpu"
    kind, path = "gpu" if on_gpu else "cpu", RESULTS / "training.json"
    stored = json.loads(path.read_text()) if path.exists() else {"cpu": None, "gpu": None}
    run: dict[str, Any] = dict(stored[kind] or {})
    if options.torch_python is not None:
        networks = {name: against_torch(name, options, on_gpu) for name in options.networks}
        run["networks"] = {**run.get("networks", {}), **networks}
        run["machine"], run["options"] = describe(("optax",)), asdict(options)
        del run["options"]["torch_python"]
    if options.loop:
        run["loop"] = loop_against_bare_step(on_gpu, options.loop_rounds)
        print(run["loop"])
    if options.remat:
        run["rematerialisation"] = rematerialisation(on_gpu)
        print(run["rematerialisation"])
    write("training", {**stored, kind: run})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
