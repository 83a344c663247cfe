"""A training step against PyTorch with the same network and weights: forward, backward, AdamW, average of the parameters.

    python -m benchmarks.training --torch-python OTHER_ENVIRONMENT/bin/python [--cores 1] [--networks own_64]

The other environment needs torch, diffusers and safetensors. Sides are processes that take turns: jaxdiff's
`make_train_step`, PyTorch eager and `torch.compile` (channels-last, fused AdamW). bfloat16 on a GPU (autocast there, our
UNet's `dtype` here), float32 on a CPU. The second part is one process: the training loop with its loader, metrics and
clocks against the bare compiled step on a batch that lies on the device, 25 steps each in turns. Results:
benchmarks/results/training.json, under "cpu" or "gpu", whichever is found; the other is kept.
"""

import os
from dataclasses import asdict
from typing import Any

import jax

from benchmarks.command import command
from benchmarks.store import Store
from benchmarks.training.against_torch import against_torch
from benchmarks.training.loop import loop_against_bare_step
from benchmarks.training.options import Options
from benchmarks.training.parts import profile, rematerialisation


def main(options: Options) -> None:
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    on_gpu = jax.default_backend() == "gpu"
    kind, store = "gpu" if on_gpu else "cpu", Store("training", ("optax",), {"cpu": None, "gpu": None})
    stored = store.read()
    run: dict[str, Any] = dict(stored[kind] or {})
    if options.torch_python is not None:
        networks = {name: against_torch(name, options, on_gpu) for name in options.networks}
        run["networks"] = {**run.get("networks", {}), **networks}
        run["machine"], run["options"] = store.machine(), asdict(options)
        del run["options"]["torch_python"]
    if options.loop:
        run["loop"] = loop_against_bare_step(on_gpu, options.loop_rounds)
        print(run["loop"])
    if options.profile:
        run["profile"] = profile()
        print(run["profile"])
    if options.remat:
        run["rematerialisation"] = rematerialisation(on_gpu)
        print(run["rematerialisation"])
    store.write({**stored, kind: run})


if __name__ == "__main__":
    command(main, __doc__, cache=True)
