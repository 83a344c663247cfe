"""Denoising without pairs: the noisy image as the model's own x (`--direct`) beside posterior sampling, one exposure.

The fields and the noise are those of `benchmarks.tasks`, so that its methods, trained ones among them, stand beside.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from tqdm import tqdm

from benchmarks.restoration import store
from benchmarks.tasks import exposure, fields, scores
from jaxdiff.loading import load
from jaxdiff.metrics import interval_coverage, psnr, ssim
from jaxdiff.physics.camera import Camera
from jaxdiff.solvers import DPMpp
from jaxdiff.tasks import denoise_directly, restore

PHOTONS = 30
"""Of configs/nuclei_stabilised.py."""
SAMPLES, CALLS = 4, 8


@dataclass(frozen=True, kw_only=True)
class Direct:
    """Denoise fields with a prior in stabilised units."""

    data: Path
    """The BBBC039 folder."""
    run: Path
    """Run folder of configs/nuclei_stabilised.py."""
    split: Literal["dev", "val"] = "dev"
    again: bool = False
    """Replace what was measured on val before."""


def measure(options: Direct) -> None:
    """Writes scores with intervals over wells."""
    if options.split == "val":
        store.check_new(["direct", "val"], options.again)
    model, key = load(options.run), jax.random.key(0)
    train = fields.load(options.data, "train", None)
    plate, peak = exposure.plate(train), exposure.intensity_range(train)
    camera: Camera = exposure.camera(plate, PHOTONS)
    ways: dict[str, Callable] = {
        "recording": lambda y: y,
        "direct_1_call": lambda y: denoise_directly(key, model, y, camera),
        f"direct_{SAMPLES}_samples": lambda y: denoise_directly(
            key, model, y, camera, SAMPLES, calls=CALLS, solver=DPMpp(2, eta=1.0)
        ),
        f"posterior_{SAMPLES}_samples": lambda y: restore(key, model, y, None, camera, SAMPLES),
    }
    rows: dict[str, list] = {}
    chosen = fields.load(options.data, options.split)
    for field in tqdm(chosen, desc="fields"):
        noisy = exposure.noisy(plate, field, PHOTONS)[..., None]
        for name, way in ways.items():
            began = time.perf_counter()
            result = way(noisy)
            row = {"seconds": time.perf_counter() - began}
            rows.setdefault(name, []).append(row | _scores(field.image, result, peak))
    entry = {"photons": PHOTONS, "calls": CALLS, "fields": [field.name for field in chosen]}
    store.put(
        ["direct", options.split],
        {**entry, "scores": {name: scores.summary(r, [f.well for f in chosen]) for name, r in rows.items()}},
    )


def _scores(truth: np.ndarray, result: Any, peak: float) -> dict[str, float]:
    image = np.asarray(result if isinstance(result, np.ndarray) else result.image, np.float64)
    truth = truth.astype(np.float64)
    row = {"psnr": psnr(truth, image[..., 0], peak), "ssim": ssim(truth[..., None], image, peak)}
    if not isinstance(result, np.ndarray) and len(result.samples) > 1:
        row["coverage"] = interval_coverage(truth, result.samples[..., 0]).share
    return row
