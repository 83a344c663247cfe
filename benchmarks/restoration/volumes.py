"""Volumes of equal voxels from stacks of thick slices, by a model of planes: the built-in microscope in 3-D, known truth.

Nuclei in a volume that is as sharp along z as across. A stack has the mean of FACTOR planes in each slice, and noise. The
prior has seen single planes across z of other volumes, and nothing of the task.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tifffile
from scipy.ndimage import zoom
from tqdm import tqdm

from benchmarks.restoration import store
from benchmarks.restoration.problems import READ_NOISE, SEED
from benchmarks.tasks import scores
from jaxdiff.data.sources.synthetic import Microscope
from jaxdiff.guidance.posterior import DiffPIR
from jaxdiff.loading import load
from jaxdiff.metrics import data_range, interval_coverage, psnr, ssim
from jaxdiff.model import Model
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Bin
from jaxdiff.physics.richardson_lucy import richardson_lucy
from jaxdiff.tasks import restore, volume

SCOPE = Microscope(numerical_aperture=0.9, slice_spacing_um=1.3, haze=0.0, out_of_focus=0.0)
SIZE = (64, 96, 96)
FACTOR = 4
PHOTONS = (100, 300)
CALLS = 20
SCALES = (1.0, 3.0, 10.0)
"""DiffPIR's ζ that are tried on dev."""
STEPS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Of Richardson-Lucy that are tried on dev."""


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Write the planes that the prior is trained on."""

    out: Path
    """New folder."""
    volumes: int = 24
    """Volumes of 64 planes."""


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """Choose settings on dev, or score on val with those that were chosen."""

    run: Path
    """Run folder of the prior of planes."""
    split: Literal["dev", "val"] = "dev"
    num: int = 2
    """Volumes."""
    samples: int = 6
    """For each; 2 on dev."""
    again: bool = False
    """Replace what was measured on val before."""


def planes(options: Planes) -> None:
    """One TIFF file a plane."""
    options.out.mkdir(parents=True)
    simulated = SCOPE.fields(jax.random.key(1000), options.volumes, (64, 64, 64), chunk=1)
    for i, one in enumerate(np.asarray(simulated.clean)[..., 0]):
        for z, plane in enumerate(one):
            tifffile.imwrite(options.out / f"v{i:02}_z{z:02}.tif", plane.astype(np.float32))


def measure(options: Volumes) -> None:
    """Writes chosen settings, or scores with intervals over volumes."""
    if options.split == "val":
        store.check_new(["volumes", "val"], options.again)
    model = volume(load(options.run))
    simulated = SCOPE.fields(jax.random.key(SEED[options.split] + 2), options.num, SIZE, chunk=1)
    truths = np.asarray(simulated.clean)[..., 0].astype(np.float64)
    entry = (_choose if options.split == "dev" else _score)(options, model, truths)
    store.put(["volumes", options.split], {"size": list(SIZE), "factor": FACTOR, "calls": CALLS, **entry})


def camera(photons: int) -> Camera:
    """That records `photons` at the bright level."""
    return Camera(gain=SCOPE.gain * SCOPE.electrons / photons, offset=SCOPE.offset, read_noise=READ_NOISE)


def stack(truth: np.ndarray, index: int, photons: int) -> np.ndarray:
    """The recording (Z / FACTOR, Y, X, 1), the same every time."""
    light = truth.reshape(-1, FACTOR, *truth.shape[1:]).mean(axis=1)[..., None] - SCOPE.offset
    of = camera(photons)
    return of.record(np.random.default_rng([index, photons]), np.maximum(light, 0) / of.gain)


def interpolated(recording: np.ndarray, order: int) -> np.ndarray:
    """Slices to planes along z by splines."""
    return zoom(recording[..., 0], (FACTOR, 1, 1), order=order, mode="nearest", grid_mode=True)


def lucy(recording: np.ndarray, of: Camera, steps: int) -> np.ndarray:
    """Richardson-Lucy of the thick slices, stopped early."""
    read = of.read_noise**2
    electrons = jnp.asarray(np.maximum((recording - of.offset) / of.gain + read, 0), jnp.float32)
    x = richardson_lucy(Bin((FACTOR, 1, 1)), electrons, steps, background=read, sensitivity=True)
    return of.offset + of.gain * np.asarray(x)[..., 0]


def restored(model: Model, recording: np.ndarray, photons: int, samples: int, scale: float) -> Any:
    """Samples of the volume by the prior."""
    method = partial(_diffpir, scale=scale)
    operator = Bin((FACTOR, 1, 1))
    return restore(
        jax.random.key(0),
        model,
        recording,
        operator,
        camera(photons),
        samples,
        size=SIZE,
        method=method,
        calls=CALLS,
        together=1,
    )


def _mean(recording: np.ndarray, model: Model, photons: int, scale: float) -> np.ndarray:
    return restored(model, recording, photons, 2, scale).image[..., 0]


def _choose(options: Volumes, model: Model, truths: np.ndarray) -> dict[str, Any]:
    peak, result = data_range(list(truths)), {}
    for photons in PHOTONS:
        recordings = [stack(truth, i, photons) for i, truth in enumerate(truths)]
        ways: dict[str, list] = {
            "richardson_lucy": [(n, partial(lucy, of=camera(photons), steps=n)) for n in STEPS],
            "diffusion": [(s, partial(_mean, model=model, photons=photons, scale=s)) for s in SCALES],
        }
        for name, candidates in ways.items():
            tried = []
            for setting, way in tqdm(candidates, desc=f"{photons} photons, {name}"):
                values = [psnr(truth, way(recording), peak) for truth, recording in zip(truths, recordings)]
                tried.append({"setting": setting, "psnr": float(np.mean(values))})
            best = max(tried, key=lambda row: row["psnr"])
            result.setdefault(str(photons), {})[name] = {"chosen": best, "tried": tried}
    return {"volumes": len(truths), "photons": result}


def _score(options: Volumes, model: Model, truths: np.ndarray) -> dict[str, Any]:
    chosen = store.get(["volumes", "dev", "photons"], "python -m benchmarks.restoration volumes --split dev")
    peak, result = data_range(list(truths)), {}
    for photons in PHOTONS:
        setting = {name: row["chosen"]["setting"] for name, row in chosen[str(photons)].items()}
        rows: dict[str, list] = {}
        for i, truth in enumerate(tqdm(truths, desc=f"{photons} photons")):
            recording = stack(truth, i, photons)
            diffusion = restored(model, recording, photons, options.samples, setting["diffusion"])
            images = {
                "nearest": np.repeat(recording[..., 0], FACTOR, axis=0),
                "linear": interpolated(recording, 1),
                "cubic": interpolated(recording, 3),
                "richardson_lucy": lucy(recording, camera(photons), setting["richardson_lucy"]),
                "diffusion": diffusion.image[..., 0],
                "diffusion_one_sample": diffusion.samples[0, ..., 0],
            }
            for name, image in images.items():
                rows.setdefault(name, []).append(_row(truth, image.astype(np.float64), peak))
            rows["diffusion"][-1] |= {
                "coverage": interval_coverage(truth, diffusion.samples[..., 0]).share,
                "misfit": diffusion.misfit,
            }
        groups = [str(i) for i in range(len(truths))]
        result[f"{photons} photons"] = {name: scores.summary(values, groups) for name, values in rows.items()}
    return {"volumes": len(truths), "samples": options.samples, "scores": result}


def _row(truth: np.ndarray, image: np.ndarray, peak: float) -> dict[str, float]:
    """PSNR of the volume, and SSIM of the planes along z, which a stack does not have."""
    along = [ssim(truth[:, :, x, None], image[:, :, x, None], peak) for x in range(0, truth.shape[2], 8)]
    return {"psnr": psnr(truth, image, peak), "ssim": float(np.mean(along))}


def _diffpir(denoise: Any, measurement: Any, scale: float) -> DiffPIR:
    return DiffPIR(denoise, measurement, scale)
