"""Grey levels to network units and back: a monotone map (`jaxdiff.data.maps`), then mean 0 and standard deviation 1.

    z = (m((x - offset) / scale) - mean) / std

channel by channel, over all training pixels. The map has an inverse over all real numbers, so that nothing is clipped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.data.maps import COUNTS, NAMES, Anscombe, Images, Map, MapName, as_map, not_constant, pixels_of
from jaxdiff.data.statistics import Moments
from jaxdiff.malformed import malformed, shown, within
from jaxdiff.parts import Allow, Parts
from jaxdiff.physics.camera import Camera
from jaxdiff.plain import from_plain, to_plain
from jaxdiff.schema import dataclass_of

BLOCK = 2**20  # pixels in float64 at once


@dataclass(frozen=True)
class Normaliser:
    """z = (m((x - offset) / scale) - mean) / std for each channel; all four are tuples of one number a channel.

    map: one of `jaxdiff.data.maps`, or the name of one of ours.

    Example:
        >>> images = [np.arange(12.0).reshape(3, 4, 1)]
        >>> normaliser = Normaliser.fit(images, map="linear")
        >>> z = normaliser.forward(images[0])
        >>> bool(abs(z.mean()) < 1e-6), bool(np.allclose(normaliser.inverse(z), images[0], atol=1e-5))
        (True, True)
    """

    map: Map | MapName
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        object.__setattr__(self, "map", as_map(self.map))
        columns = {name: tuple(float(v) for v in getattr(self, name)) for name in COLUMNS}
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

    @property
    def map_name(self) -> str:
        """What the map is called: the name of one of ours, the class of a person's own."""
        return next((name for name, cls in NAMES.items() if type(self.map) is cls), type(self.map).__name__)

    @classmethod
    def fit(cls, images: Images, map: Map | MapName = "asinh", camera: Camera = COUNTS) -> "Normaliser":
        """Fit to images (*spatial, C) of any sizes, read one at a time; sums are in float64.

        A map without units of its own reads every image once, asinh twice. camera: of "anscombe".
        Raises DataError for no images, NaN or infinite pixels (naming the image), differing channel counts, a channel
        that has one value only, a camera of another map, and a map that its inverse does not undo.
        """
        chosen = as_map(map, camera)
        number = len(images)
        if not number:
            raise DataError("no images", "at least one", "give training images")
        channels = int(images[0].shape[-1])
        units = getattr(chosen, "units", None)
        offset, scale = ((0.0,) * channels, (1.0,) * channels) if units is None else units(images)
        if isinstance(chosen, Anscombe):  # whose camera is in offset and scale
            chosen = Anscombe()
        raw = cls(chosen, tuple(offset), tuple(scale), (0.0,) * channels, (1.0,) * channels)
        if type(chosen) not in NAMES.values():
            raw._check_map(images[0])
        moments = Moments()
        for block in _blocks(images, channels):
            moments.add(raw._map(block))
        mean, std = moments.mean, moments.std()
        if not np.isfinite(mean + std).all():
            where = (
                f"the map {raw.map_name}, which gives NaN or infinite numbers for grey levels of the training images"
            )
            raise DataError(where, "finite ones for all", "another map")
        return cls(chosen, raw.offset, raw.scale, tuple(mean), not_constant(std, mean, "after the map"))

    def forward(self, x: ArrayLike) -> np.ndarray:
        """Data units (..., C) to network units, float32. Raises DataError for another channel count."""
        pixels: np.ndarray = self._channels_checked(x)
        return ((self._map(pixels) - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def inverse(self, z: ArrayLike) -> np.ndarray:
        """Network units (..., C) to data units, not rounded: float64, or while JAX traces it, in z's precision.

        Raises DataError for another channel count.
        """
        m = self._channels_checked(z) * np.array(self.std) + np.array(self.mean)
        return self._of_map.inverse(m) * np.array(self.scale) + np.array(self.offset)

    def log_slope(self, x: ArrayLike) -> np.ndarray:
        """log dz/dx at data units (..., C), float64: what a density in network units becomes one of data by."""
        slope = self._of_map.log_slope(self._units(np.asarray(self._channels_checked(x))))
        return slope - np.log(np.array(self.scale)) - np.log(np.array(self.std))

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values that keeps every bit; `from_json` is its inverse."""
        name = self.map_name
        map = name if name in NAMES else to_plain(self.map, "normaliser.map")
        return {"map": map, **{name: list(getattr(self, name)) for name in COLUMNS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], allow: Allow = ()) -> "Normaliser":
        """The normaliser that `to_json` wrote. Raises ValueError, naming the field, for anything else.

        allow: packages, .py files and classes of a person's own that its map may be of, as for `jd.load`.
        """
        if not isinstance(values, Mapping) or set(values) != {"map", *COLUMNS}:
            what = sorted(values) if isinstance(values, Mapping) else shown(values)
            raise DataError(f"a normaliser with {what}", f"{['map', *COLUMNS]}", "use the file as it was written")
        if isinstance(values["map"], Mapping):
            map = from_plain(values["map"], Parts((), allow), "normaliser.map")
        elif isinstance(values["map"], str) and values["map"] in NAMES:
            map = NAMES[values["map"]]()
        else:
            raise malformed("normaliser.map", values["map"], f"one of {', '.join(NAMES)}")
        numbers = dataclass_of(_Columns, {name: values[name] for name in COLUMNS}, "normaliser")
        with within("normaliser"):
            normaliser = cls(map, numbers.offset, numbers.scale, numbers.mean, numbers.std)
        with np.errstate(over="ignore"):
            ends = normaliser.inverse(np.array([[-3.0], [3.0]]) * np.ones(normaliser.channels)).astype(np.float32)
        if not (np.isfinite(ends).all() and (ends[0] < ends[1]).all()):
            where = f"normaliser, by which -3 and 3 are the grey levels {ends.tolist()}"
            raise DataError(where, "finite ones that rise", "use the file as it was written")
        return normaliser

    @property
    def _of_map(self) -> Map:
        return as_map(self.map)

    def _units(self, x: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) - np.array(self.offset)) / np.array(self.scale)

    def _map(self, x: np.ndarray) -> np.ndarray:
        return self._of_map.forward(self._units(x))

    def _channels_checked(self, x: Any) -> Any:
        x = x if isinstance(x, Tracer) else np.asarray(x)
        if x.ndim == 0 or x.shape[-1] != self.channels:
            raise DataError(f"an array of shape {x.shape}", f"{self.channels} channels, last", "move the channels axis")
        return x

    def _check_map(self, image: np.ndarray) -> None:
        """Raises DataError where a person's map is not rising on an image, its inverse another one, or its slope wrong."""
        name, u = (
            type(self.map).__name__,
            self._units(np.quantile(image.reshape(-1, self.channels), [0.05, 0.5, 0.95], axis=0)),
        )
        step = 1e-4 * (1 + np.abs(u))
        low, m, high = (self._of_map.forward(u + shift) for shift in (-step, 0 * step, step))
        back, slope = self._of_map.inverse(m), (high - low) / (2 * step)
        with np.errstate(invalid="ignore", divide="ignore"):
            wrong = {
                f"{name}.forward that does not rise": not (slope > 0).all(),
                f"{name}.inverse that is not the inverse of forward": not np.allclose(back, u, rtol=1e-6, atol=1e-6),
                f"{name}.log_slope that is not the logarithm of forward's slope": not np.allclose(
                    self._of_map.log_slope(u), np.log(slope), atol=1e-2
                ),
            }
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise DataError(f"{what} at {u.tolist()}", "one that is, at all grey levels", f"correct {name}")


COLUMNS = ("offset", "scale", "mean", "std")


@dataclass(frozen=True)
class _Columns:
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _blocks(images: Images, channels: int) -> Iterable[np.ndarray]:
    """The pixels of all images, (N, C), a part at a time: float64 takes eight times the memory of a byte."""
    for pixels in pixels_of(images, channels):
        for start in range(0, len(pixels), BLOCK):
            yield pixels[start : start + BLOCK]
