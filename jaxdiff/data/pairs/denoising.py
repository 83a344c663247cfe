"""Denoising: the clean image, given what a camera with less light would have recorded of it."""

from dataclasses import dataclass, replace

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.varied import Varied
from jaxdiff.data.patches import Record
from jaxdiff.data.per_image import Blocks, GreyScale
from jaxdiff.data.sources.source import Source
from jaxdiff.physics.camera import Camera

SAMPLES = 2**16  # pixels of each image from which the percentiles are estimated


@dataclass(frozen=True)
class Denoising(Varied):
    """Diffuses the clean image, given the same with Poisson-Gaussian noise, in the units of the clean one.

    Grey levels above `offset` are light; `peak` of them are `photons` photons, a number drawn log-uniformly for every
    patch, so that one model serves a range of exposures. Levels below `offset` count as no light.

    With `per_image`, offset and peak are those of each image, so that no camera is assumed. Clean and noisy image are both
    on the grey scale of the noisy one, all that is known in use: in training that of noise drawn for parts of the field.
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
    on_input_scale = True

    def __post_init__(self):
        super().__post_init__()
        if self.per_image is not None and not (self.offset is None and self.peak is None):
            raise DataError(f"offset={self.offset}, peak={self.peak} with per_image", "neither", "leave them out")
        if self.size is not None and self.size.diameter is not None:
            raise DataError(
                f"size of diameter={self.size.diameter:g} to denoise, where images keep their pixels in use",
                "random factors alone",
                "size=ObjectSize(factors=(0.6, 1.6))",
            )
        if len(self.photons) != 2 or not 0 < self.photons[0] <= self.photons[1] < np.inf:
            raise DataError(f"photons={self.photons}", "least and most, above 0", "photons=(10, 100)")

        if not 0 <= self.read_noise < np.inf:
            raise DataError(f"read_noise={self.read_noise}", "electrons, 0 or more", "read_noise=2")
        if not (self.offset is None or np.isfinite(self.offset)):
            raise DataError(f"offset={self.offset}", "a grey level", "leave it out: it is fitted")
        if not (self.peak is None or 0 < self.peak < np.inf):
            raise DataError(
                f"peak={self.peak}", "grey levels above the offset, more than 0", "leave it out: it is fitted"
            )

    def fit(self, source: Source) -> "Denoising":
        if self.per_image is not None:
            return self._fitted(source)
        if self.offset is not None and self.peak is not None:
            return self
        pixels = np.concatenate([_some(source[i]["image"], i) for i in range(len(source))])
        offset = float(np.percentile(pixels, 1)) if self.offset is None else self.offset
        peak = float(np.percentile(pixels, 99.8)) - offset if self.peak is None else self.peak
        if not peak > 0:
            raise DataError(f"peak={peak} above offset={offset}", "images with light", "state offset and peak")
        return replace(self, offset=offset, peak=peak)

    def prepare(self, record: Record) -> Record:
        return self._prepared(record)

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        photons = float(np.exp(rng.uniform(*np.log(self.photons))))
        if self.per_image is None:
            return {"image": patch["image"], "input": self.record(rng, patch["image"], photons)}
        noisy, scale = self.on_own_scale(rng, patch["image"], patch["blocks"], photons)
        return {"image": scale.forward(patch["image"]), "input": scale.forward(noisy)}

    def on_own_scale(
        self, rng: np.random.Generator, image: np.ndarray, blocks: Blocks, photons: float
    ) -> tuple[np.ndarray, GreyScale]:
        """A recording of a patch with `photons` photons at the peak of its field, and the grey scale of its whole recording.

        blocks: of the field. Raises DataError for pairs without `per_image`.
        """
        if self.per_image is None:
            raise DataError("pairs without per_image", "normalisation per image", "per_image=PerImage()")
        clean = self.per_image.scale_of(blocks.values)
        noisy = self._recorded(rng, image, photons, clean.offset, clean.span)
        parts = [self._recorded(rng, values, photons, clean.offset, clean.span) for values in blocks.values]
        return noisy, self.per_image.scale_of(parts)

    def record(self, rng: np.random.Generator, image: np.ndarray, photons: float) -> np.ndarray:
        """`image` as recorded with `photons` photons at the peak: float32, in the grey levels of `image`.

        With `per_image` the peak is that of the image, which is a whole one.
        """
        if self.per_image is not None:
            clean = self.per_image.scale(image)
            return self._recorded(rng, image, photons, clean.offset, clean.span)
        if self.offset is None or self.peak is None:
            raise DataError("pairs without offset and peak", "fitted ones", "pairs.fit(source), or state them")
        return self._recorded(rng, image, photons, self.offset, self.peak)

    def _recorded(
        self,
        rng: np.random.Generator,
        image: np.ndarray,
        photons: float,
        offset: float | np.ndarray,
        peak: float | np.ndarray,
    ) -> np.ndarray:
        """Of electrons, and then in grey levels; offset and peak: of all channels, or of each."""
        offset, gain = np.asarray(offset, np.float32), np.asarray(peak / photons, np.float32)
        electrons = np.maximum(image.astype(np.float32) - offset, 0) / gain
        return offset + gain * Camera(read_noise=self.read_noise).record(rng, electrons)

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        return info, self._seen(info).replace(dtype="float32")

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, "asinh" if self.per_image is None else map


def _some(image: np.ndarray, index: int) -> np.ndarray:
    pixels = image.reshape(-1)
    return pixels[np.random.default_rng(index).integers(pixels.size, size=min(SAMPLES, pixels.size))].astype(np.float64)
