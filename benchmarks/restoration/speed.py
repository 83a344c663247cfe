"""A sample of a whole image against windows × calls × one network call."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import seconds
from benchmarks.restoration import store
from benchmarks.restoration.problems import blur
from jaxdiff.guidance.posterior import DPS, MMPS, DiffPIR, Recording
from jaxdiff.guidance.windowed import window_starts, windowed
from jaxdiff.loading import load
from jaxdiff.model import Model
from jaxdiff.nn import POLICIES
from jaxdiff.physics.camera import Camera
from jaxdiff.sampling import sample
from jaxdiff.solvers import DPMpp
from jaxdiff.tasks.sampled import Remat


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Time samples of a large image, and the network calls that they need."""

    run: Path
    """Run folder of the prior."""
    size: int = 1024
    """Side of the image."""
    samples: int = 1
    """Samples, one after the other."""
    calls: int = 20
    """For each."""
    chunk: int = 32
    """Windows in one network call."""
    rounds: int = 3
    """Pairs of measurements; the medians are kept."""
    methods: tuple[Literal["diffpir", "dps", "mmps"], ...] = ("diffpir",)
    """dps and mmps take gradients of the network."""
    remat: Remat = "all"
    """What these compute again of several rounds of windows."""


METHODS = {"diffpir": DiffPIR, "dps": DPS, "mmps": lambda denoise, of: MMPS(denoise, of, 1)}


def measure(options: Speed) -> None:
    """Writes seconds and ratios, an entry for each method and size."""
    model = load(options.run)
    for name in options.methods:
        entry = {
            "method": name,
            "calls": options.calls,
            "remat": options.remat,
            **_timed(model, options, options.size, METHODS[name]),
        }
        store.put(
            ["speed", jax.devices()[0].platform, f"{name}_{options.size}_{options.samples}_{options.remat}"], entry
        )


def _timed(model: Model, options: Speed, size: int, method: Any) -> dict[str, float]:
    window = model.shape[0]
    windows = len(window_starts(size, window, window // 4)) ** 2
    rounds = math.ceil(windows / options.chunk)
    each = math.ceil(windows / rounds)
    camera = Camera(gain=10.0, offset=100.0)
    rng = np.random.default_rng(0)
    of = Recording(blur(1.0), 300 + 50 * rng.normal(size=(size, size, 1)), camera, model.normaliser.inverse)
    denoise = method(
        windowed(model.denoise, window, window // 4, chunk=options.chunk, policy=POLICIES[options.remat]), of
    )
    grid, shape = model.grid(options.calls), (size, size, model.shape[-1])

    def whole():
        out = sample(
            jax.random.key(0), denoise, shape=shape, num=options.samples, batch=1, solver=DPMpp(2, eta=1.0), grid=grid
        )
        jax.block_until_ready(out.images)

    # One call as it is made inside: the same number of windows in a batch, the same loop.
    x = jnp.asarray(rng.normal(size=(each, *model.shape)), jnp.float32)
    call = jax.jit(lambda d, x: jax.vmap(lambda one: d(one, jnp.asarray(0.3, jnp.float32), None))(x))

    def calls():
        for _ in range(min(rounds, 8)):
            jax.block_until_ready(call(model.denoise, x))

    whole()
    calls()
    whole_runs, needed = [], []
    for _ in range(options.rounds):
        needed.append(seconds(calls) / min(rounds, 8) * rounds * options.calls * options.samples)
        whole_runs.append(seconds(whole))
        needed.append(seconds(calls) / min(rounds, 8) * rounds * options.calls * options.samples)
    return {
        "side": size,
        "windows": windows,
        "samples": options.samples,
        "windows_a_call": each,
        "seconds": statistics.median(whole_runs),
        "network_seconds": statistics.median(needed),
        "ratio": statistics.median(whole_runs) / statistics.median(needed),
        "calls_a_step": statistics.median(whole_runs) / statistics.median(needed) * rounds * each / windows,
    }
