"""Monotone maps of grey levels, by which a normaliser bends them before it makes mean 0 and standard deviation 1.

Each acts on u = (x - offset) / scale, element by element, and has an inverse over all real numbers, so that nothing is
clipped:

    Linear     m(u) = u
    Asinh      m(u) = asinh(u)                          linear near 0, logarithmic far from it
    Anscombe   m(u) = 2 sign(v) sqrt|v|, v = u + 3/8    photon counts to noise of nearly one size
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.physics.camera import Camera
from jaxdiff.process.gaussian import namespace

COUNTS = Camera()
"""Of images whose pixels are photon counts."""
SAMPLES = 2**22
"""Pixels a channel from which median and spread are estimated."""
Units = tuple[Sequence[float], Sequence[float]]
"""Offset and scale of each channel."""


class Images(Protocol):
    """A list of images (*spatial, C), or anything with its length that can be read more than once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


class Map(Protocol):
    """A rising map of u = (x - offset) / scale, element by element; a frozen dataclass of its settings.

    `units(images) -> (offset, scale)` of each channel is a fourth method, for a map that takes them from the training images;
    without it u is the grey level x itself. Arrays are NumPy's in float64, and `inverse` also meets those that JAX traces:
    `jaxdiff.process.gaussian.namespace(u)` is the module whose functions fit.
    """

    def forward(self, u: Any) -> Any:
        """m(u)."""
        ...

    def inverse(self, m: Any) -> Any:
        """u, for every real m."""
        ...

    def log_slope(self, u: Any) -> Any:
        """log dm/du."""
        ...


@dataclass(frozen=True)
class Linear:
    """Grey levels as they are."""

    def forward(self, u: Any) -> Any:
        return u

    def inverse(self, m: Any) -> Any:
        return m

    def log_slope(self, u: Any) -> Any:
        return np.zeros_like(u)


@dataclass(frozen=True)
class Asinh:
    """Linear near the background, logarithmic far above it.

    Offset and scale are those of the background: the median, and 3 robust standard deviations (3 * 1.4826 * median|x -
    median|), so that camera noise stays linear and the long bright tail is compressed. Where more than half of the pixels are
    equal that spread is 0, and the mean absolute deviation from the median takes its place.
    """

    def units(self, images: Images) -> Units:
        """Of each channel, from at most SAMPLES pixels at fixed random places."""
        share = max(1, SAMPLES // len(images))
        samples = []
        for i, pixels in enumerate(pixels_of(images, int(images[0].shape[-1]))):
            if len(pixels) > share:
                pixels = pixels[np.random.default_rng(i).integers(len(pixels), size=share)]
            samples.append(pixels.astype(np.float64))
        pixels = np.concatenate(samples)
        median = np.median(pixels, axis=0)
        deviation = np.abs(pixels - median)
        scale = 3 * 1.4826 * np.median(deviation, axis=0)
        scale = np.where(scale > 0, scale, deviation.mean(axis=0))
        return tuple(median), not_constant(scale, median, "in the sampled pixels")

    def forward(self, u: Any) -> Any:
        return np.arcsinh(u)

    def inverse(self, m: Any) -> Any:
        return namespace(m).sinh(m)

    def log_slope(self, u: Any) -> Any:
        return -0.5 * np.log1p(u**2)


@dataclass(frozen=True)
class Anscombe:
    """Photon counts to noise of nearly one size.

    Scale and offset are a camera's: scale = gain, offset = the camera's less gain * read_noise², so that v is electrons +
    3/8 + read_noise² (`Camera.generalised_anscombe`).
    """

    camera: Camera = COUNTS
    """Its gain, offset and read noise turn grey levels to photons; the default takes counts."""

    def units(self, images: Images) -> Units:
        """Those of the camera, the same for all channels."""
        camera, channels = self.camera, int(images[0].shape[-1])
        return (camera.offset - camera.gain * camera.read_noise**2,) * channels, (camera.gain,) * channels

    def forward(self, u: Any) -> Any:
        v = u + 3 / 8
        return 2 * np.sign(v) * np.sqrt(np.abs(v))

    def inverse(self, m: Any) -> Any:
        return namespace(m).sign(m) * (m / 2) ** 2 - 3 / 8

    def log_slope(self, u: Any) -> Any:
        return -0.5 * np.log(np.maximum(np.abs(u + 3 / 8), np.finfo(np.float64).tiny))


MapName = Literal["linear", "asinh", "anscombe"]
NAMES: dict[str, Any] = {"linear": Linear, "asinh": Asinh, "anscombe": Anscombe}
"""How ours are called in a config and in a run folder."""


def as_map(map: str | Map, camera: Camera = COUNTS) -> Map:
    """The map of that name, or the map itself. camera: of "anscombe".

    Raises DataError for an unknown name, a class in place of an object, and a camera that the map has no use for.
    """
    if map == "anscombe":
        return Anscombe(camera)
    if camera != COUNTS:
        name = map if isinstance(map, str) else type(map).__name__
        raise DataError(
            f"a camera for the map {name}", "the map anscombe", 'normalise="anscombe", or normalise=Anscombe(camera)'
        )
    if isinstance(map, str):
        if map not in NAMES:
            raise DataError(f"map {map!r}", f"one of {', '.join(NAMES)}, or a map of your own", "choose one of these")
        return NAMES[map]()
    needs = ("forward", "inverse", "log_slope")
    if isinstance(map, type) or not all(callable(getattr(map, name, None)) for name in needs):
        raise DataError(
            f"the map {map!r}", f"an object with {', '.join(needs)}", "normalise=YourMap(…); see docs/howto.md"
        )
    return map


def pixels_of(images: Images, channels: int) -> Iterable[np.ndarray]:
    """The pixels (N, C) of each image. Raises DataError for another number of channels, and for some that are not finite."""
    for index in range(len(images)):
        image = images[index]
        if image.shape[-1] != channels:
            raise DataError(
                f"{image.shape[-1]} channels in image {index}", f"{channels} as in image 0", "use one channel count"
            )
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            bad = int(np.count_nonzero(~np.isfinite(image)))
            raise DataError(f"{bad} NaN or infinite pixels in image {index}", "finite numbers", "repair or remove it")
        yield image.reshape(-1, channels)


def not_constant(spread: np.ndarray, centre: np.ndarray, where: str) -> tuple[float, ...]:
    """The spread of each channel. Raises DataError for a channel that has none."""
    flat = np.flatnonzero(~(spread > 1e-12 * np.maximum(1.0, np.abs(centre))))
    if flat.size:
        raise DataError(
            f"one and the same value in every training pixel of channel {flat[0]} ({where})",
            "images that vary",
            "remove the channel (an alpha channel is not data) or check the acquisition",
        )
    return tuple(spread)
