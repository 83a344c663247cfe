"""What the sampling loop costs beside its network: sampler time / (calls × one jitted network call).

    python -m benchmarks.sampler [--repeats 9] [--calls 20] [--batch 16] [--size 32] [--width 64]

Each repeat times one whole `jd.sample` and, around it, the same number of jitted network calls on the same batch, half
before and half after, so that a machine that slows down slows both. The ratio of a repeat is of these two; the median
is quoted. A run on a GPU is kept beside that of the CPU, under "gpu".
"""

import statistics
from dataclasses import asdict, dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.clock import ratios, seconds
from benchmarks.command import command
from benchmarks.store import Store

SOLVERS = {
    "DPMpp(2)": jd.DPMpp(order=2),
    "DPMpp(2, eta=1)": jd.DPMpp(order=2, eta=1.0),
    "diffrax.Heun": diffrax.Heun(),
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    repeats: int = 9
    calls: int = 20
    batch: int = 16
    size: int = 32
    width: int = 64


def main(options: Options) -> None:
    store = Store("sampler")
    machine = store.machine()
    shape = (options.size, options.size, 1)
    network = jd.UNet(width=options.width)
    x, lam = jnp.zeros((options.batch, *shape)), jnp.zeros(options.batch)
    denoise = jd.bind(network, jax.jit(network.init)(jax.random.key(0), x, lam))
    call = jax.jit(lambda denoise, x, lam: jax.vmap(denoise)(x, lam))
    network_call = lambda: call(denoise, x, lam)  # noqa: E731
    network_first = seconds(network_call)

    rows = {}
    for name, solver in SOLVERS.items():
        intervals = options.calls if isinstance(solver, jd.Solver) else options.calls // 2
        grid = jd.grids.uniform_lam(jd.Cosine(), intervals)
        counted = []

        def sampler(solver=solver, grid=grid, counted=counted):
            out = jd.sample(jax.random.key(0), denoise, shape=shape, num=options.batch, solver=solver, grid=grid)
            counted.append(out.nfe)
            return out.images

        first = seconds(sampler)
        nfe = counted[0]
        pairs = []
        for _ in range(options.repeats):
            before = seconds(network_call, nfe // 2)
            whole = seconds(sampler)
            pairs.append((whole, before + seconds(network_call, nfe - nfe // 2)))
        sampled, called = (statistics.median(times) for times in zip(*pairs))
        median, quartiles = ratios(*zip(*pairs))
        rows[name] = {
            "nfe": nfe,
            "ratio_median": round(median, 4),
            "ratio_quartiles": np.round(quartiles, 4).tolist(),
            "sampler_seconds": round(sampled, 4),
            "network_call_seconds": round(called / nfe, 5),
            "compile_seconds": round(first - sampled, 2),
        }
        print(
            f"{name:18} nfe {nfe:3}  ratio {rows[name]['ratio_median']:.3f}  compile {rows[name]['compile_seconds']:.1f} s"
        )

    call_seconds = statistics.median(row["network_call_seconds"] for row in rows.values())
    compiled = {"network_compile_seconds": round(network_first - call_seconds, 2)}
    run = {"machine": machine, "options": asdict(options), **compiled, "solvers": rows}
    before = store.read()
    gpu_entry = {"gpu": before["gpu"]} if "gpu" in before else {}
    store.write({**run, **gpu_entry} if jax.default_backend() == "cpu" else {**before, "gpu": run})


if __name__ == "__main__":
    command(main, __doc__)
