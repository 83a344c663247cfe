"""Why intervals of few calls are too narrow: coverage of 19 samples of an exact denoiser, against calls, solver and grid.

    python -m benchmarks.intervals [--pixels 2000]

Pixels are Gaussian, as a posterior is of which the truth is one more draw, with the standard deviations that posteriors of
images have, in model units: the denoiser is exact, so that what is missing is missing in the sampler. Between the least and
the greatest of 19 samples lie 90 % of truths where the samples are right. `grid` "default" is that of a task; "posterior" the
same shifted to the standard deviation of the pixel, `jd.grids.uniform_lam(…, std=…)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.metrics import interval_coverage
from jaxdiff.process.schedules import Cosine

SAMPLES = 19
CALLS = (2, 4, 8, 16, 32)
STDS = (1.0, 0.3, 0.1, 0.03)
SOLVERS: Mapping[str, Callable[[], Any]] = {
    "DPMpp(1)": lambda: jd.DPMpp(1),
    "DPMpp(2)": lambda: jd.DPMpp(2),
    "DPMpp(2, eta=1)": lambda: jd.DPMpp(2, eta=1.0),
    "UniPC(2)": lambda: jd.UniPC(2),
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    pixels: int = 2000
    """Of each standard deviation; the standard error of a coverage near 0.9 is 0.3 divided by its root."""


def main(options: Options) -> None:
    store = Store("intervals")
    result: dict[str, Any] = {"machine": store.machine(), "options": asdict(options), "samples": SAMPLES}
    result["rows"] = [row for std in STDS for row in rows(std, options.pixels)]
    store.write(result)


def rows(std: float, pixels: int) -> list[dict[str, Any]]:
    """Coverage, and standard deviation of the samples over that of the truth, for all calls, solvers and grids."""
    schedule, shape = Cosine(), (pixels, 1)
    denoise = jd.analytic.Gaussian(np.zeros(shape), np.full(shape, std**2))
    truth = std * np.random.default_rng(0).normal(size=shape)
    found = []
    for calls in CALLS:
        grids = {"default": jd.grids.uniform_lam(schedule, calls)}
        if std != 1:
            grids["posterior"] = jd.grids.uniform_lam(schedule, calls, std=std)
        for name, grid in grids.items():
            for solver, make in SOLVERS.items():
                out = jd.sample(jax.random.key(0), denoise, shape=shape, num=SAMPLES, solver=make(), grid=grid)
                samples = np.asarray(out.images)
                found.append(
                    {
                        "std": std,
                        "calls": calls,
                        "grid": name,
                        "ends": [round(float(end), 2) for end in (grid[0], grid[-1])],
                        "solver": solver,
                        "coverage": round(interval_coverage(truth, samples).share, 3),
                        "std_over_true": round(float(np.sqrt(samples.var(axis=0, ddof=1).mean())) / std, 3),
                    }
                )
                print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    command(main, __doc__)
