"""Denoising: the clean image, given what a camera with less light would have recorded of it."""

from dataclasses import dataclass, replace

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Source
from jaxdiff.physics.camera import Camera
from jaxdiff.schema import conform

SAMPLES = 2**16  # pixels of each image from which the percentiles are estimated


@dataclass(frozen=True)
class Denoising:
    """Diffuses the clean image, given the same with Poisson-Gaussian noise, in the units of the clean one.

    Grey levels above `offset` are light; `peak` of them are `photons` photons, a number drawn log-uniformly for every
    patch, so that one model serves a range of exposures. Levels below `offset` count as no light.
    """

    photons: tuple[float, float] = (10.0, 100.0)
    """Least and most photons at `peak`."""
    read_noise: float = 2.0
    """Standard deviation of the camera's read noise, electrons."""
    offset: float | None = None
    """Grey level without light; default the 1st percentile of the training images."""
    peak: float | None = None
    """Grey levels above the offset that `photons` speaks of; default the 99.8th percentile of the training images."""

    task = "denoise"

    def __post_init__(self):
        conform(self)
        if len(self.photons) != 2 or not 0 < self.photons[0] <= self.photons[1]:
            raise DataError(f"photons={self.photons}", "least and most, above 0", "photons=(10, 100)")

    def fit(self, source: Source) -> "Denoising":
        if self.offset is not None and self.peak is not None:
            return self
        pixels = np.concatenate([_some(source[i]["image"], i) for i in range(len(source))])
        offset = float(np.percentile(pixels, 1)) if self.offset is None else self.offset
        peak = float(np.percentile(pixels, 99.8)) - offset if self.peak is None else self.peak
        if not peak > 0:
            raise DataError(f"peak={peak} above offset={offset}", "images with light", "state offset and peak")
        return replace(self, offset=offset, peak=peak)

    def prepare(self, record: Record) -> Record:
        return record

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        photons = float(np.exp(rng.uniform(*np.log(self.photons))))
        return {"image": patch["image"], "input": self.record(rng, patch["image"], photons)}

    def record(self, rng: np.random.Generator, image: np.ndarray, photons: float) -> np.ndarray:
        """`image` as recorded with `photons` photons at the peak: float32, in the grey levels of `image`."""
        if self.offset is None or self.peak is None:
            raise DataError("pairs without offset and peak", "fitted ones", "pairs.fit(source), or state them")
        camera = Camera(gain=self.peak / photons, offset=self.offset, read_noise=self.read_noise)
        light = np.maximum(image.astype(np.float32) - np.float32(self.offset), 0)
        return camera.record(rng, light / np.float32(camera.gain))

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        return info, info.replace(dtype="float32")

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, "asinh"


def _some(image: np.ndarray, index: int) -> np.ndarray:
    pixels = image.reshape(-1)
    return pixels[np.random.default_rng(index).integers(pixels.size, size=min(SAMPLES, pixels.size))].astype(np.float64)
