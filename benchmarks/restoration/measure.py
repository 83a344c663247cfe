"""Settings chosen on dev, scores measured on val."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from tqdm import tqdm

from benchmarks.restoration import baselines, store
from benchmarks.restoration.problems import PHOTONS, Kind, Problem, blur, problem
from benchmarks.tasks import scores
from jaxdiff.guidance.posterior import DiffPIR
from jaxdiff.loading import load
from jaxdiff.metrics import data_range, fourier_ring_correlation, interval_coverage, psnr, resolution, ssim
from jaxdiff.model import Model
from jaxdiff.tasks import Restored, restore

SAMPLES = 19
CALLS = 20
WIDTHS = (0.9, 1.0, 1.1)
"""Of the assumed PSF over the true one; other than 1 at AT photons only."""
AT = 100
SCALES = (1.0, 3.0, 10.0)
"""DiffPIR's ζ that are tried on dev."""


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Choose the settings of all methods on dev."""

    kind: Kind
    run: Path
    """Run folder of the prior."""
    data: Path | None = None
    """The BBBC039 folder, for nuclei."""
    num: int = 4
    """Fields."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Score all methods with the settings that were chosen."""

    kind: Kind
    run: Path
    """Run folder of the prior."""
    data: Path | None = None
    """The BBBC039 folder, for nuclei."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    num: int = 6
    """Fields."""
    again: bool = False
    """Replace what was measured on val before."""


def choose(options: Choose) -> None:
    """Writes chosen settings and all that was tried."""
    of_kind, model = problem(options.kind, options.data, "dev", options.num), load(options.run)
    peak = data_range([truth.image for truth in of_kind.truths])
    result: dict[str, Any] = {}
    for photons in PHOTONS:
        recordings = [of_kind.recording(truth, photons) for truth in of_kind.truths]
        ways: dict[str, list[tuple[Any, Callable]]] = {
            name: [(s, partial(_classical, name, s, of_kind, photons)) for s in baselines.CANDIDATES[name]]
            for name in baselines.METHODS
        }
        ways["diffusion"] = [((s,), partial(_mean, model, of_kind, photons, s)) for s in SCALES]
        chosen = {}
        for name, candidates in ways.items():
            tried = []
            for setting, restored in tqdm(candidates, desc=f"{photons} photons, {name}"):
                values = [psnr(t.image, restored(r)[..., 0], peak) for t, r in zip(of_kind.truths, recordings)]
                tried.append({"setting": list(setting), "psnr": float(np.mean(values))})
            chosen[name] = {"chosen": max(tried, key=lambda row: row["psnr"]), "tried": tried}
        result[str(photons)] = chosen
    store.put(["chosen", options.kind], {"fields": options.num, "photons": result})


def measure(options: Measure) -> None:
    """Writes scores with intervals over wells or fields."""
    if options.split == "val":
        store.check_new(["scores", options.kind, "val"], options.again)
    chosen = store.get(["chosen", options.kind, "photons"], "python -m benchmarks.restoration choose")
    of_kind, model = problem(options.kind, options.data, options.split, options.num), load(options.run)
    groups = [truth.group for truth in of_kind.truths]
    peak = data_range([truth.image for truth in of_kind.truths])
    result: dict[str, Any] = {}
    for photons in PHOTONS:
        for width in WIDTHS if photons == AT else (1.0,):
            rows: dict[str, list] = {}
            for truth in tqdm(of_kind.truths, desc=f"{photons} photons, PSF × {width}"):
                recording = of_kind.recording(truth, photons)
                images = {"recording": recording}
                for name in baselines.METHODS:
                    setting = tuple(chosen[str(photons)][name]["chosen"]["setting"])
                    images[name] = _classical(
                        name, setting, of_kind=of_kind, photons=photons, recording=recording, width=width
                    )
                (scale,) = chosen[str(photons)]["diffusion"]["chosen"]["setting"]
                began = time.perf_counter()
                restored_image = _samples(
                    model, of_kind, photons=photons, scale=scale, recording=recording, samples=SAMPLES, width=width
                )
                seconds = time.perf_counter() - began
                images |= {"diffusion": restored_image.image, "diffusion_one_sample": restored_image.samples[0]}
                for name, image in images.items():
                    rows.setdefault(name, []).append(_scores(truth.image, image[..., 0], peak, options.kind))
                rows["diffusion"][-1] |= {
                    "coverage": interval_coverage(truth.image, restored_image.samples[..., 0]).share,
                    "misfit": restored_image.misfit,
                    "seconds": seconds,
                }
            result[f"{photons} photons, PSF × {width:g}"] = {
                name: scores.summary(values, groups) for name, values in rows.items()
            }
    entry = {"fields": [truth.name for truth in of_kind.truths], "samples": SAMPLES, "calls": CALLS, "scores": result}
    store.put(["scores", options.kind, options.split], entry)


def _classical(name: str, setting: Any, of_kind: Problem, photons: int, recording: np.ndarray, width: float = 1.0):
    return baselines.METHODS[name](recording, of_kind.camera(photons), blur(width), tuple(setting))


def _mean(model: Model, of_kind: Problem, photons: int, scale: float, recording: np.ndarray) -> np.ndarray:
    return _samples(model, of_kind, photons=photons, scale=scale, recording=recording, samples=4).image


def _samples(
    model: Model, of_kind: Problem, photons: int, scale: float, recording: np.ndarray, samples: int, width: float = 1.0
) -> Restored:
    return restore(
        jax.random.key(0),
        model,
        recording,
        blur(width),
        of_kind.camera(photons),
        samples,
        method=partial(_diffpir, scale=scale),
        calls=CALLS,
    )


def _diffpir(denoise, measurement, scale):
    return DiffPIR(denoise, measurement, scale)


def _scores(truth: np.ndarray, image: np.ndarray, peak: float, kind: Kind) -> dict[str, float]:
    image = image.astype(np.float64)
    row = {"psnr": psnr(truth, image, peak), "ssim": ssim(truth[..., None], image[..., None], peak)}
    if kind == "synthetic":  # real fields hold noise, with which nothing correlates
        row["resolution"] = resolution(fourier_ring_correlation(truth[..., None], image[..., None])).length
    return row
