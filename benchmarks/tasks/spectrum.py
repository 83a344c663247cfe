"""Which details are restored, and how many are left: on the synthetic microscope, whose truth has no noise.

For each method, against the truth: the Fourier ring correlation with its resolution, and the power of the result as a share
of the truth's in thirds of the frequencies. Averaging methods lose the power of what they cannot know; a sample keeps it.
Against a truth without noise the correlation is sqrt(SNR / (1 + SNR)), so it falls to 1/2 where the signal is a third of the
noise.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.report import machine, table
from benchmarks.tasks import denoising_baselines, methods, regression, store
from benchmarks.tasks.denoising_baselines import CANDIDATES
from jaxdiff.data.errors import DataError
from jaxdiff.data.sources.synthetic import Microscope
from jaxdiff.loading import load
from jaxdiff.metrics import data_range, fourier_ring_correlation, psnr, resolution
from jaxdiff.metrics.rings import rings, taper
from jaxdiff.model import Model
from jaxdiff.physics.camera import Camera
from jaxdiff.tasks import denoise

SIZE = 128
SEEDS = {"dev": 101, "val": 102}
"""Of the fields; training has seed 0."""
THRESHOLD = 0.5


@dataclass(frozen=True)
class Spectrum:
    """Resolution and power of denoised fields of the synthetic microscope."""

    run: Path
    """Run folder trained with configs/synthetic_denoising.py."""
    regression: Path | None = None
    """Run folder of its regression."""
    samples: int = 8
    """K: samples that are averaged."""
    calls: int = 4
    """Network calls of each sample."""
    num: int = 8
    """Fields of 128 x 128 pixels."""
    again: bool = False
    """Replace the numbers that are stored."""


Restore = Callable[[np.ndarray], np.ndarray]


def measure(options: Spectrum) -> None:
    """Stores the table. Raises DataError before any long work."""
    keys = ("spectrum", f"{options.num} fields")
    store.check_new(keys, options.again)
    model = load(options.run)
    if model.pairing is None or model.pairing.pairs.task != "denoise" or not model.info.synthetic:
        raise DataError(f"{options.run.name}", "a run of the synthetic microscope, to denoise", "train its config")
    scope = Microscope()
    dev, val = (_fields(scope, SEEDS[split], options.num) for split in ("dev", "val"))
    span = float(data_range([truth for truth, _ in dev]))
    camera = Camera(gain=scope.gain, offset=scope.offset, read_noise=scope.read_noise)
    todo: dict[str, Restore] = {"noisy": lambda image: image}
    parameters: dict[str, Any] = {}
    for name, candidates in CANDIDATES.items():
        restore = functools.partial(_denoised, camera)
        best, _, tried = denoising_baselines.choose(
            candidates, restore, dev, lambda truth, image: psnr(truth, image, span)
        )
        parameters[name] = {"chosen": repr(best), "tried": len(tried)}
        todo[name] = functools.partial(_denoised, camera, best)
    if options.regression is not None:
        net = load(options.regression)
        todo["regression"] = lambda image: regression.predict(net, image)[..., 0]
    for name, one in (("diffusion", False), ("diffusion_one_sample", True)):
        todo[name] = functools.partial(_diffusion, model, options, one)
    across = scope.pixel_size_um
    rows = {}
    for name, restore in todo.items():
        rows[name] = _row(val, [restore(image) for _, image in val], span, across)
        print(name, {key: value for key, value in rows[name].items() if np.ndim(value) == 0}, flush=True)
    settings = methods.identity(model) | {"samples": options.samples, "calls": options.calls, "chosen": parameters}
    store.put(keys, {"settings": settings, "size": SIZE, "pixel_size_um": across, "threshold": THRESHOLD, "rows": rows})


def _fields(scope: Microscope, seed: int, num: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(truth, recording) (Y, X) in grey levels."""
    field = scope.fields(jax.random.key(seed), num, (SIZE, SIZE))
    clean, image = (np.asarray(values, np.float32)[..., 0] for values in (field.clean, field.image))
    return list(zip(clean, image))


def _denoised(camera: Camera, method: Any, image: np.ndarray) -> np.ndarray:
    return denoising_baselines.denoise(method, camera, image)


def _diffusion(model: Model, options: Spectrum, one: bool, image: np.ndarray) -> np.ndarray:
    out = denoise(jax.random.key(methods.SEED), model, image, options.samples, calls=options.calls)
    return (out.samples[0] if one else out.image)[..., 0]


def _row(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], restored: Sequence[np.ndarray], span: float, across: float
) -> dict[str, Any]:
    """Correlations are means over fields, powers ratios of sums over them."""
    curves = [fourier_ring_correlation(t[..., None], r[..., None], across, "µm") for (t, _), r in zip(pairs, restored)]
    mean = curves[0]._replace(correlation=np.mean([curve.correlation for curve in curves], axis=0))
    limit = resolution(mean, THRESHOLD)
    have, want = (np.sum([_power(image) for image in images], axis=0) for images in (restored, [t for t, _ in pairs]))
    thirds = [float(h.sum() / w.sum()) for h, w in zip(np.array_split(have, 3), np.array_split(want, 3))]
    return {
        "psnr": float(np.mean([psnr(truth, image, span) for (truth, _), image in zip(pairs, restored)])),
        "resolution_um": limit.length,
        "crossed": limit.crossed,
        "power_low": thirds[0],
        "power_middle": thirds[1],
        "power_high": thirds[2],
        "frequency": [float(f) for f in mean.frequency],
        "correlation": [float(c) for c in mean.correlation],
    }


def _power(image: np.ndarray) -> np.ndarray:
    """Of an image (Y, X) in rings, without its mean and with tapered edges."""
    spectrum = np.fft.fftn((image - image.mean()) * taper(image.shape, 0.25))
    return rings(image.shape, (1.0, 1.0)).sums(np.abs(spectrum) ** 2)


COLUMNS = {
    "psnr": "PSNR (dB)",
    "resolution_um": "resolution (µm)",
    "power_low": "power, low third",
    "power_middle": "middle",
    "power_high": "high",
}


def markdown(result: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """One table for each number of fields. names: titles of methods, with {samples}."""
    measured = result.get("spectrum", {})
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where, entry in measured.items():
        rows = [
            [
                names[name].format(samples=entry["settings"]["samples"]),
                *(f"{row[key]:.3g}" for key in COLUMNS),
                f"{_end(row):.3f}",
            ]
            for name, row in entry["rows"].items()
        ]
        parts += [
            table(["method", *COLUMNS.values(), "correlation, high third"], rows),
            f"{where} of {entry['size']}×{entry['size']} pixels of {entry['pixel_size_um']:.3g} µm. Resolution: where the "
            f"Fourier ring correlation with the noise-free truth falls to {entry['threshold']:g}; two pixels where it "
            f"never does. Power: as a share of the truth's, in thirds of the frequencies; 1 is right. {machine(entry)}",
        ]
    return parts


def _end(row: Mapping[str, Any]) -> float:
    return float(np.mean(np.array_split(row["correlation"], 3)[-1]))
