"""Grey levels to network units and back: a monotone map, then mean 0 and standard deviation 1, channel by channel.

Each map acts on u = (x - offset) / scale and has an inverse over all real numbers, so that nothing is clipped:

    linear     m(u) = u
    asinh      m(u) = asinh(u)                          linear near 0, logarithmic far from it
    anscombe   m(u) = 2 sign(v) sqrt|v|, v = u + 3/8    photon counts to noise of nearly one size

linear uses offset 0 and scale 1. anscombe takes those of a camera: scale = gain, offset = the camera's less
gain * read_noise², so that v is electrons + 3/8 + read_noise² (`Camera.generalised_anscombe`). asinh takes the offset
and scale of the background: offset = median, scale = 3 robust standard deviations (3 * 1.4826 * median|x - median|), so
that camera noise stays linear and the long bright tail is compressed. Where more than half of the pixels are equal that
spread is 0, and the mean absolute deviation from the median takes its place. Then z = (m - mean) / std over all
training pixels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.physics.camera import Camera
from jaxdiff.schema import dataclass_of, shown

Map = Literal["linear", "asinh", "anscombe"]
COUNTS = Camera()
"""Of images whose pixels are photon counts."""
SAMPLES = 2**22  # pixels a channel from which median and spread are estimated
BLOCK = 2**20  # pixels in float64 at once


class Images(Protocol):
    """A list of images (*spatial, C), or anything with its length that can be read more than once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Normaliser:
    """z = (m((x - offset) / scale) - mean) / std for each channel; all four are tuples of one number a channel.

    Example:
        >>> images = [np.arange(12.0).reshape(3, 4, 1)]
        >>> normaliser = Normaliser.fit(images, map="linear")
        >>> z = normaliser.forward(images[0])
        >>> bool(abs(z.mean()) < 1e-6), bool(np.allclose(normaliser.inverse(z), images[0], atol=1e-5))
        (True, True)
    """

    map: Map
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        if self.map not in get_args(Map):
            raise DataError(f"map {self.map!r}", "one of " + ", ".join(get_args(Map)), "choose one of these")
        columns = {name: tuple(float(v) for v in getattr(self, name)) for name in ("offset", "scale", "mean", "std")}
        if len({len(column) for column in columns.values()}) != 1:
            raise DataError(f"{columns}", "one number a channel in each", "fit the normaliser again")
        if not all(np.isfinite(c).all() for c in columns.values()) or min(columns["scale"] + columns["std"]) <= 0:
            raise DataError(f"{columns}", "finite numbers, scale and std above 0", "fit the normaliser again")
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    @property
    def channels(self) -> int:
        """The number of channels."""
        return len(self.mean)

    @classmethod
    def fit(cls, images: Images, map: Map = "asinh", camera: Camera = COUNTS) -> "Normaliser":
        """Fit to images (*spatial, C) of any sizes, read one at a time; sums are in float64.

        linear and anscombe read every image once, asinh twice. camera: of anscombe.
        Raises DataError for no images, NaN or infinite pixels (naming the image), differing channel counts, a channel
        that has one value only, and a camera of another map.
        """
        if camera != COUNTS and map != "anscombe":
            raise DataError(f"a camera for the map {map}", "the map anscombe", 'normalise="anscombe", or leave it out')
        number = len(images)
        if not number:
            raise DataError("no images", "at least one", "give training images")
        channels = int(images[0].shape[-1])
        offset, scale = (0.0,) * channels, (1.0,) * channels
        if map == "asinh":
            offset, scale = _background(images)
        if map == "anscombe":
            offset = (camera.offset - camera.gain * camera.read_noise**2,) * channels
            scale = (camera.gain,) * channels
        raw = cls(map, offset, scale, (0.0,) * channels, (1.0,) * channels)
        mean, std = _moments(raw._map(block) for block in _blocks(images, channels))
        return cls(map, offset, scale, tuple(mean), _not_constant(std, mean, "after the map"))

    def forward(self, x: ArrayLike) -> np.ndarray:
        """Data units (..., C) to network units, float32. Raises DataError for another channel count."""
        pixels: np.ndarray = self._channels_checked(x)
        return ((self._map(pixels) - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def inverse(self, z: ArrayLike) -> np.ndarray:
        """Network units (..., C) to data units, not rounded: float64, or while JAX traces it, in z's precision.

        Raises DataError for another channel count.
        """
        xp: Any = jnp if isinstance(z, Tracer) else np
        m = self._channels_checked(z) * xp.array(self.std) + xp.array(self.mean)
        match self.map:
            case "linear":
                u = m
            case "asinh":
                u = xp.sinh(m)
            case "anscombe":
                u = xp.sign(m) * (m / 2) ** 2 - 3 / 8
        return u * xp.array(self.scale) + xp.array(self.offset)

    def log_slope(self, x: ArrayLike) -> np.ndarray:
        """log dz/dx at data units (..., C), float64: what a density in network units becomes one of data by."""
        u = (np.asarray(self._channels_checked(x), np.float64) - np.array(self.offset)) / np.array(self.scale)
        match self.map:
            case "linear":
                slope = np.zeros_like(u)
            case "asinh":
                slope = -0.5 * np.log1p(u**2)
            case "anscombe":
                slope = -0.5 * np.log(np.maximum(np.abs(u + 3 / 8), np.finfo(np.float64).tiny))
        return slope - np.log(np.array(self.scale)) - np.log(np.array(self.std))

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values that keeps every bit; `from_json` is its inverse."""
        return {name: getattr(self, name) if name == "map" else list(getattr(self, name)) for name in _FIELDS}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Normaliser":
        """The normaliser that `to_json` wrote. Raises ValueError, naming the field, for anything else."""
        if not isinstance(values, Mapping) or set(values) != set(_FIELDS):
            what = sorted(values) if isinstance(values, Mapping) else shown(values)
            raise DataError(f"a normaliser with {what}", f"{list(_FIELDS)}", "use the file as it was written")
        normaliser = dataclass_of(cls, values, "normaliser")
        with np.errstate(over="ignore"):
            ends = normaliser.inverse(np.array([[-3.0], [3.0]]) * np.ones(normaliser.channels)).astype(np.float32)
        if not (np.isfinite(ends).all() and (ends[0] < ends[1]).all()):
            where = f"normaliser, by which -3 and 3 are the grey levels {ends.tolist()}"
            raise DataError(where, "finite ones that rise", "use the file as it was written")
        return normaliser

    def _map(self, x: np.ndarray) -> np.ndarray:
        u = (x.astype(np.float64) - np.array(self.offset)) / np.array(self.scale)
        match self.map:
            case "linear":
                return u
            case "asinh":
                return np.arcsinh(u)
            case "anscombe":
                v = u + 3 / 8
                return 2 * np.sign(v) * np.sqrt(np.abs(v))

    def _channels_checked(self, x: Any) -> Any:
        x = x if isinstance(x, Tracer) else np.asarray(x)
        if x.ndim == 0 or x.shape[-1] != self.channels:
            raise DataError(f"an array of shape {x.shape}", f"{self.channels} channels, last", "move the channels axis")
        return x


_FIELDS = ("map", "offset", "scale", "mean", "std")


def _each(images: Images) -> Iterable[np.ndarray]:
    return (images[i] for i in range(len(images)))


def _checked(image: np.ndarray, index: int, channels: int) -> np.ndarray:
    """Pixels (N, C), all finite."""
    if image.shape[-1] != channels:
        raise DataError(
            f"{image.shape[-1]} channels in image {index}", f"{channels} as in image 0", "use one channel count"
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        bad = int(np.count_nonzero(~np.isfinite(image)))
        raise DataError(f"{bad} NaN or infinite pixels in image {index}", "finite numbers", "repair or remove it")
    return image.reshape(-1, channels)


def _background(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Median, and 3 robust standard deviations, of each channel, from at most SAMPLES pixels at fixed random places."""
    channels = int(images[0].shape[-1])
    share = max(1, SAMPLES // len(images))
    samples = []
    for i, image in enumerate(_each(images)):
        pixels = _checked(image, i, channels)
        if len(pixels) > share:
            pixels = pixels[np.random.default_rng(i).integers(len(pixels), size=share)]
        samples.append(pixels.astype(np.float64))
    pixels = np.concatenate(samples)
    median = np.median(pixels, axis=0)
    deviation = np.abs(pixels - median)
    scale = 3 * 1.4826 * np.median(deviation, axis=0)
    scale = np.where(scale > 0, scale, deviation.mean(axis=0))
    return tuple(median), _not_constant(scale, median, "in the sampled pixels")


def _blocks(images: Images, channels: int) -> Iterable[np.ndarray]:
    """The pixels of all images, (N, C), a part at a time: float64 takes eight times the memory of a byte."""
    for i, image in enumerate(_each(images)):
        pixels = _checked(image, i, channels)
        for start in range(0, len(pixels), BLOCK):
            yield pixels[start : start + BLOCK]


def _moments(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of pixels (N, C) over all blocks, merged pairwise (Chan, Golub & LeVeque 1983)."""
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        block_mean = block.mean(axis=0)
        delta, total = block_mean - mean, count + len(block)
        squares = squares + ((block - block_mean) ** 2).sum(axis=0) + delta**2 * count * len(block) / total
        mean = mean + delta * len(block) / total
        count = total
    return mean, np.sqrt(squares / count)


def _not_constant(spread: np.ndarray, centre: np.ndarray, where: str) -> tuple[float, ...]:
    flat = np.flatnonzero(~(spread > 1e-12 * np.maximum(1.0, np.abs(centre))))
    if flat.size:
        raise DataError(
            f"one and the same value in every training pixel of channel {flat[0]} ({where})",
            "images that vary",
            "remove the channel (an alpha channel is not data) or check the acquisition",
        )
    return tuple(spread)
