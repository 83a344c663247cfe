"""Where the time of one network call goes, by kind of operation: products, norms, attention, moves.

    python -m benchmarks.network_profile [--networks own_64 cifar_32] [--batch 2] [--repeats 15]

Traces compiled network calls with JAX's profiler and looks up in the optimised text what each traced operation computes. On a
CPU an operation's time is that of the thread which ran it, so the sum may differ from the wall time.
"""

import collections
import gzip
import json
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.command import command
from benchmarks.compiled_text import computations, denoiser
from benchmarks.peers.networks import NETWORKS
from benchmarks.store import Store

CALLED = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
KINDS = (
    ("convolution", r" convolution\(|__cudnn\$conv|conv_general_dilated"),
    ("attention", r"_attention[^\"]*(?:BTNH|BNTS|softmax|exp)|attentions_\d[^\"]*(?:BTNH|BNTS|softmax|exp)|fmha"),
    ("matrix product", r" dot\(|__cublas|gemm"),
    ("norm statistics", r" reduce\("),
    ("concatenation", r" concatenate\("),
    ("norm, SiLU, sums", r" (?:multiply|add|subtract|exponential|logistic|divide|rsqrt|tanh)\("),
)
"""The first pattern that an operation's text, with that of the computations it calls, holds; else it only moves."""


@dataclass(frozen=True)
class Options:
    """What is profiled."""

    networks: tuple[str, ...] = ("own_64", "cifar_32")
    """Of `benchmarks.peers.networks.NETWORKS`."""
    batch: int = 2
    repeats: int = 15
    dtype: str = "float32"


def kinds_of(text: str) -> dict[str, str]:
    """Kind of each operation that is not inside a fusion, by its name."""
    every = computations(text)
    inside = {name for lines in every.values() for line in lines for name in CALLED.findall(line)}
    kind_of = {}
    for owner, lines in every.items():
        for line in lines:
            match = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", line)
            if match and owner not in inside:
                text_of_all = "\n".join(
                    [line, *(part for name in CALLED.findall(line) for part in every.get(name, []))]
                )
                kind_of[match[1]] = next((kind for kind, pattern in KINDS if re.search(pattern, text_of_all)), "moves")
    return kind_of


def traced(run, repeats: int) -> dict[str, float]:
    """Milliseconds a call of every event that the profiler names: its median, so that interruptions do not count."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            for _ in range(repeats):
                run()
        events = json.loads(gzip.decompress(next(Path(folder).rglob("perfetto_trace.json.gz")).read_bytes()))
    durations = collections.defaultdict(list)
    for event in events["traceEvents"]:
        if event.get("ph") == "X":
            durations[event.get("args", {}).get("hlo_op", event["name"])].append(event["dur"] / 1000)
    return {name: statistics.median(times) * len(times) / repeats for name, times in durations.items()}


def main(options: Options) -> None:
    results = {}
    for name in options.networks:
        network = NETWORKS[name]
        shape = (options.batch, network.size, network.size, network.channels)
        rng = np.random.default_rng(0)
        denoise = denoiser(network, options.dtype)
        # Zeros would be quick in places where numbers are not.
        leaves, tree = jax.tree.flatten(denoise)
        random = [jnp.asarray(0.05 * rng.standard_normal(np.shape(leaf)), jnp.float32) for leaf in leaves]
        denoise = jax.tree.unflatten(tree, random)
        x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
        compiled = jax.jit(jax.vmap(lambda d, x: d(x, jnp.float32(0.0)), in_axes=(None, 0))).lower(denoise, x).compile()
        run = lambda compiled=compiled, denoise=denoise, x=x: jax.block_until_ready(compiled(denoise, x))  # noqa: E731
        run()
        walls = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            run()
            walls.append(1000 * (time.perf_counter() - start))
        kinds, sums = kinds_of(compiled.as_text()), collections.Counter()
        for operation, milliseconds in traced(run, options.repeats).items():
            if operation in kinds:
                sums[kinds[operation]] += milliseconds
        shares = {kind: round(value / sum(sums.values()), 4) for kind, value in sums.most_common()}
        results[name] = {"wall_ms": round(statistics.median(walls), 2), "traced_ms": round(sum(sums.values()), 2)}
        results[name]["shares"] = shares
        print(f"{name}: {results[name]['wall_ms']} ms a call of {options.batch} images")
        for kind, share in shares.items():
            print(f"  {100 * share:5.1f} %  {kind}")
    store = Store("network_profile")
    store.write({"machine": store.machine(), "dtype": options.dtype, "networks": results})


if __name__ == "__main__":
    command(main, __doc__)
