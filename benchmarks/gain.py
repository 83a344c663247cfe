"""The gain that is estimated from one image, over cameras and scenes: how near, and how sure.

    python -m benchmarks.gain [--seeds 1]

Each image is recorded by a camera of known gain, offset and read noise, in whole grey levels. What is known of the camera is
nothing, its offset, or offset and read noise. An estimate is *wrong* where it is off by more than 10 % and the interval that
comes with it does not hold the truth.
"""

import itertools
import time
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.noise_estimate import estimate_noise

SIDE = 192
SCENES = ("blobs", "nuclei")
PEAKS = (30.0, 100.0, 1e3, 1e4, 3e4)
BACKGROUNDS = (0.5, 2.0, 20.0)
GAINS = (0.2, 0.4, 0.8, 1.7, 10.0)
READ_NOISES = (0.0, 1.0, 3.0)
OFFSET = 100.0
NEAR = 0.1


@dataclass(frozen=True)
class Options:
    """What is measured."""

    seeds: int = 1
    """Images of each camera and scene."""


def scene(kind: str, peak: float, background: float, rng: np.random.Generator) -> np.ndarray:
    """Expected electrons (SIDE, SIDE): smooth blobs, or discs with the edges of a lens on mostly background."""
    if kind == "blobs":
        light = ndimage.gaussian_filter(rng.random((SIDE, SIDE)), 6.0)
        light = ((light - light.min()) / np.ptp(light)) ** 2
    else:
        y, x = np.mgrid[:SIDE, :SIDE]
        light = np.zeros((SIDE, SIDE))
        for _ in range(16):
            (cy, cx), radius = rng.random(2) * SIDE, rng.uniform(8, 14)
            light = np.maximum(light, rng.uniform(0.5, 1) * ((y - cy) ** 2 + (x - cx) ** 2 < radius**2))
        light = ndimage.gaussian_filter(light, 2.0)
    return background + peak * light


def main(options: Options) -> None:
    store, rng = Store("gain"), np.random.default_rng(0)
    result, began = {"machine": store.machine(), "options": asdict(options)}, time.process_time()
    names = ("nothing", "offset", "offset and read noise")
    rows: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in names}
    every = list(itertools.product(range(options.seeds), SCENES, PEAKS, BACKGROUNDS, GAINS, READ_NOISES))
    for _, kind, peak, background, truth, read_noise in every:
        camera = Camera(gain=truth, offset=OFFSET, read_noise=read_noise)
        image = np.round(camera.record(rng, scene(kind, peak, background, rng)))
        estimate = estimate_noise(image[..., None])
        for name, known in zip(names, ((), (OFFSET,), (OFFSET, read_noise))):
            gain = estimate.gain(*known)
            rows[name].append((gain.value / truth - 1, gain.half_width, gain.low <= truth <= gain.high))
    result["seconds_an_image"] = round((time.process_time() - began) / len(every), 3)
    result["images"] = len(every)
    result["known"] = {name: summary(values) for name, values in rows.items()}
    for name, row in result["known"].items():
        print(f"{name:22} {row}", flush=True)
    store.write(result)


def summary(rows: list[tuple[float, float, bool]]) -> dict[str, float]:
    """Of (relative error, half of the interval over the gain, whether it holds the truth)."""
    errors, half_widths, inside = (np.array(column) for column in zip(*rows))
    off = np.abs(errors) > NEAR
    return {
        "within_10_percent": round(float(np.mean(~off)), 4),
        "interval_holds_truth": round(float(np.mean(inside)), 4),
        "wrong": int(np.sum(off & ~inside)),
        "median_half_width": round(float(np.median(half_widths)), 4),
        "median_error": round(float(np.median(np.abs(errors))), 4),
    }


if __name__ == "__main__":
    command(main, __doc__)
