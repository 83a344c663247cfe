"""One network call in float32, in bfloat16, and in bfloat16 with cuDNN's attention: images a second, in turns.

    python -m benchmarks.network_forms [--networks own_64 own_256] [--batch N] [--rounds 5]

Results: benchmarks/results/network_forms.json, under the platform that JAX finds; the others are kept. cuDNN's attention is
left out where there is no CUDA.
"""

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.clock import seconds, turns
from benchmarks.command import command
from benchmarks.peers.networks import NETWORKS, Network
from benchmarks.store import Store

FORMS: dict[str, dict[str, Any]] = {
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, cudnn attention": {"dtype": "bfloat16", "attention_implementation": "cudnn"},
    "float32": {"dtype": "float32"},
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    networks: tuple[str, ...] = ("own_64", "own_256")
    """`jd.UNet`s of `benchmarks.peers.networks.NETWORKS`."""
    batch: int | None = None
    """Images a call; default the network's own for a GPU or a CPU."""
    rounds: int = 5
    """Turns of each form."""
    calls: int = 3
    """In one turn."""


def main(options: Options) -> None:
    platform, store, results = jax.default_backend(), Store("network_forms"), {}
    machine = store.machine()
    for name in options.networks:
        network = NETWORKS[name]
        if not network.own:
            raise ValueError(f"got --networks {name}; expected jd.UNets; to fix: own_64, own_256")
        batch = options.batch or (network.cpu_batch if platform == "cpu" else network.gpu_batch)
        results[name] = {"batch": batch, "forms": measured(network, batch, options, platform == "gpu")}
        for form, row in results[name]["forms"].items():
            print(f"{name} {form:26} {row['images_per_second']:.1f} images/s", flush=True)
    store.put([platform], {"machine": machine, "networks": results})


def measured(network: Network, batch: int, options: Options, cuda: bool) -> dict[str, dict[str, float]]:
    """Each form's rate, and how far its output is from float32's, in parts of the largest value."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((batch, network.size, network.size, network.channels)), jnp.float32)
    runs, outputs, compile_seconds = {}, {}, {}
    for form, fields in FORMS.items():
        if "cudnn" in form and not cuda:
            continue
        module: Any = jd.UNet(**{k: v for k, v in network.config.items() if k != "channels"}, **fields)
        shapes = jax.eval_shape(module.init, jax.random.key(0), x[:1], jnp.zeros(1))
        random = np.random.default_rng(1)
        params = jax.tree.map(
            lambda leaf, r=random: jnp.asarray(0.05 * r.standard_normal(leaf.shape), leaf.dtype), shapes
        )
        denoise = jd.bind(module, params, "v")
        start = time.perf_counter()
        call = jax.jit(lambda d, x: jax.vmap(lambda one: d(one, jnp.float32(0.3)))(x))
        outputs[form] = np.asarray(call(denoise, x))
        compile_seconds[form] = time.perf_counter() - start
        runs[form] = lambda call=call, denoise=denoise: call(denoise, x)
    several = lambda run: seconds(lambda: [run() for _ in range(options.calls)]) / options.calls  # noqa: E731
    times = turns({form: partial(several, run) for form, run in runs.items()}, options.rounds)
    reference = outputs[list(runs)[-1]]
    return {
        form: {
            "images_per_second": round(batch / statistics.median(of_form), 2),
            "seconds_quartiles": np.quantile(of_form, [0.25, 0.75]).round(6).tolist(),
            "difference_from_float32": float(np.abs(outputs[form] - reference).max() / np.abs(reference).max()),
            "compile_seconds": round(compile_seconds[form], 1),
        }
        for form, of_form in times.items()
    }


if __name__ == "__main__":
    command(main, __doc__)
