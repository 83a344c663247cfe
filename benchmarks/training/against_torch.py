"""Training steps of jaxdiff, PyTorch and `torch.compile` with the same network and weights, in processes that take turns."""

import os
import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import throughput
from benchmarks.clock import ratios, turns
from benchmarks.peers.networks import NETWORKS
from benchmarks.training.options import Options
from jaxdiff.training.flops import peak


def against_torch(name: str, options: Options, on_gpu: bool) -> dict[str, Any]:
    """Times of turns of all sides, in fresh processes, after their outputs have been compared."""
    assert options.torch_python is not None
    network = NETWORKS[name]
    batch = options.batch or (network.gpu_batch if on_gpu else network.cpu_batch)
    dtype, load = "bfloat16" if on_gpu else "float32", round(os.getloadavg()[0], 2)
    peer_options = throughput.Options(options.torch_python)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ExitStack() as stack:
            peers = throughput.sides(stack, peer_options, **throughput.EXACT)
            throughput.make(peers, network, folder)
            errors = throughput.differences(peers, folder, throughput.start_states(network, 2, folder))
        with ExitStack() as stack:
            peers = throughput.sides(stack, peer_options, ("default",) if options.compiled else ())
            start, rows = throughput.start_states(network, batch, folder), {}
            for side, peer in peers.items():
                mode = {"compiled": side.split()[1]} if side.startswith("compile") else {}
                opened = peer("open", folder=str(folder / "model"), dtype=dtype, **mode)
                peer("train_open", start=start)
                rows[side] = {"first_step_seconds": round(peer("train", steps=1)["seconds"], 2)}
                peer("train", steps=1)
            sides = {side: partial(peer, "train", steps=options.steps) for side, peer in peers.items()}
            answers = turns(sides, options.rounds)
            times = {side: [answer["seconds"] / options.steps for answer in of] for side, of in answers.items()}
            flops = next((answer["flops"] for of in answers.values() for answer in of if "flops" in answer), 0.0)
            for side, peer in peers.items():
                seconds = statistics.median(times[side])
                faster, quartiles = ratios(times[side], times["jaxdiff"])
                rows[side] |= {
                    "seconds_a_step": round(seconds, 4),
                    "images_per_second": round(batch / seconds, 3),
                    "tflops_per_second": round(flops / seconds / 1e12, 4),
                    "mfu": round(flops / seconds / top, 4) if (top := peak() if on_gpu else None) else None,
                    "jaxdiff_is_faster_by": round(faster, 3),
                    "jaxdiff_is_faster_by_quartiles": np.round(quartiles, 3).tolist(),
                    "peak_memory_gb": round(1e-9 * peer("memory"), 3),
                }
                print(f"{name} {side:16} {rows[side]}", flush=True)
    return {
        "parameters": opened["parameters"],
        "batch": batch,
        "dtype": dtype,
        "load": load,
        "differences": errors,
        "gflop_per_image_and_step": round(1e-9 * flops / batch, 3),
        "sides": rows,
    }
