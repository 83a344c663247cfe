"""The training loop against its bare compiled step, in one process."""

import statistics
import tempfile
import time
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.machine import describe
from jaxdiff.data.config import Synthetic
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.loop import _Session
from jaxdiff.training.run import open_run


class _Interleaved(_Session):
    """A session that takes as many bare steps, on a batch and a state of their own, after each row of metrics."""

    def bare(self, steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            self.own, _ = self.run.step.program(self.own, self.placed, self.run.key, np.float32(0.5))
        jax.block_until_ready(self.own)
        return time.perf_counter() - begin

    def _steps(self, interrupt: Any, due: Any) -> None:
        self.times: list[tuple[float, float]] = []
        images = np.random.default_rng(0).standard_normal((self.config.batch_size, *self.config.patch, 1), np.float32)
        self.placed = self.run.step.place_batch({"image": images})
        self.own = jax.tree.map(jnp.copy, self.run.step.place(self.run.state))
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
            session = _Interleaved(open_run(config, stack), stack)
            session.train()
    times = session.times[1:]  # the first holds the compilation
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
