"""Super-resolution: the image, given what an objective with less resolution and larger pixels would have recorded of it."""

from dataclasses import dataclass, replace

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.denoising import Denoising
from jaxdiff.data.pairs.varied import Scaled
from jaxdiff.data.patches import Record
from jaxdiff.data.per_image import Blocks
from jaxdiff.data.sources.source import Source
from jaxdiff.physics.binning import area_binning
from jaxdiff.physics.blur import gaussian_blur


@dataclass(frozen=True)
class SuperResolution(Scaled):
    """Diffuses the image, given the same blurred, binned to larger pixels, and with Poisson-Gaussian noise.

    The blur is of the whole image, beyond whose edges it goes on as its mirror image; the camera is that of `Denoising`,
    whose `photons` are here those of one larger pixel, and whose offset and peak are those of the coarse image with
    `per_image`. Raises DataError for numbers that do not belong to the images' axes.
    """

    factor: tuple[int, ...] = (2, 2)
    """Pixels of the image for one of the input, along (y, x) or (z, y, x)."""
    psf: tuple[float, ...] = (1.0, 1.0)
    """Standard deviation of the blur along the same axes, in pixels of the image; 0 for none."""
    photons: tuple[float, float] = (100.0, 1000.0)
    """Least and most photons at `peak`, a number drawn log-uniformly for every patch."""
    read_noise: float = 2.0
    """Standard deviation of the camera's read noise, electrons."""
    offset: float | None = None
    """Grey level without light; default the 1st percentile of the training images."""
    peak: float | None = None
    """Grey levels above the offset that `photons` speaks of; default the 99.8th percentile of the training images."""

    task = "super-resolve"
    on_input_scale = True

    def __post_init__(self):
        super().__post_init__()
        axes = len(self.factor)
        integer = all(f == int(f) and f >= 1 for f in self.factor)
        if axes not in (2, 3) or not integer or max(self.factor) == 1:
            raise DataError(f"factor={self.factor}", "integers for (y, x) or (z, y, x), one above 1", "factor=(2, 2)")
        if len(self.psf) != axes or not all(0 <= s < np.inf for s in self.psf):
            raise DataError(f"psf={self.psf}", f"{axes} numbers, 0 or more", f"psf={(1.0,) * axes}")
        if self.factor[-2] != self.factor[-1] or self.psf[-2] != self.psf[-1]:
            raise DataError(
                f"factor={self.factor} and psf={self.psf}",
                "equal numbers for y and x, which training exchanges",
                "make the coarse images beforehand, for Parallel pairs",
            )
        _ = self._camera

    @property
    def _camera(self) -> Denoising:
        return Denoising(self.photons, self.read_noise, self.offset, self.peak, per_image=self.per_image)

    def fit(self, source: Source) -> "SuperResolution":
        if self.per_image is not None:
            return self._fitted(source)
        fitted = self._camera.fit(source)
        return replace(self, offset=fitted.offset, peak=fitted.peak)

    def prepare(self, record: Record) -> Record:
        blurred = gaussian_blur(record["image"], self.psf)
        own = {} if self.per_image is None else {"blocks": Blocks.of(area_binning(blurred, self.factor))}
        return {**record, "blurred": blurred, **own}

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        """Rows that do not fill a larger pixel, as only whole images have, are in neither of the pair."""
        coarse = area_binning(patch["blurred"], self.factor)
        covered = tuple(slice(n * f) for n, f in zip(coarse.shape, self.factor))
        image = patch["image"][covered]
        if self.per_image is None:
            return {"image": image, "input": self._camera.draw({"image": coarse}, rng)["input"]}
        photons = float(np.exp(rng.uniform(*np.log(self.photons))))
        noisy, scale = self._camera.on_own_scale(rng, coarse, patch["blocks"], photons)
        return {"image": scale.forward(image), "input": scale.forward(noisy)}

    def record(self, rng: np.random.Generator, image: np.ndarray, photons: float) -> np.ndarray:
        """`image` (*spatial, C) as recorded with `photons` photons in a larger pixel at the peak: (*coarse, C), float32."""
        return self._camera.record(rng, area_binning(gaussian_blur(image, self.psf), self.factor), photons)

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        if len(self.factor) != len(info.spatial):
            raise DataError(
                f"factor={self.factor} for images with axes {info.spatial}",
                f"{len(info.spatial)} numbers",
                "give factor and psf one for each axis",
            )
        sizes = {a: None if s is None else s * f for (a, s), f in zip(info.pixel_size.items(), self.factor)}
        return info, info.replace(dtype="float32", pixel_size=sizes)

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, "asinh" if self.per_image is None else map
