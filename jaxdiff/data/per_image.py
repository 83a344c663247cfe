"""Grey levels on the scale of their own image: 0 where it is dark, 1 where it is bright, whatever the camera and the file.

    u = (x - offset) / span,   offset = p_low,   span = max(p_high - p_low, floor · noise)

channel by channel; p are percentiles of the whole image, noise the standard deviation of its noise, estimated from second
differences (Immerkær 1996, doi:10.1006/cviu.1996.0060), and no less than that of rounding. All three follow the image: of
gain · x + offset the u are the same, up to the rounding of floats. The floor keeps an image without objects dark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from jaxdiff.data.errors import DataError
from jaxdiff.physics.noise_estimate import robust_scale

SIDE, MOST = 64, 8
"""Pixels along the sides of a field's blocks, and how many blocks of a plane are looked at, at most."""
DIFFERENCES = 2**14
"""Second differences of a channel from which the noise is estimated, about."""
SECOND = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)
"""Second differences along one axis, of unit noise."""
BULK = 0.998
"""Quantile from whose opposite to which the grey levels reach that steps are compared with."""


@dataclass(frozen=True, eq=False)
class GreyScale:
    """u = (x - offset) / span of each channel, and back."""

    offset: Float[np.ndarray, " channels"]
    """Grey level at u = 0."""
    span: Float[np.ndarray, " channels"]
    """Grey levels from u = 0 to u = 1, above 0."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Grey levels (..., C) to u, float32."""
        return ((np.asarray(x, np.float64) - self.offset) / self.span).astype(np.float32)

    def inverse(self, u: np.ndarray) -> np.ndarray:
        """u (..., C) to grey levels, not rounded, float64."""
        return np.asarray(u, np.float64) * self.span + self.offset


@dataclass(frozen=True)
class Blocks:
    """Evenly spread parts of a field, from which its grey scale is estimated in training; no array that is cut with it."""

    values: tuple[np.ndarray, ...]
    """Each (*block, C)."""
    starts: tuple[tuple[int, ...], ...]
    """Of each, along the spatial axes of the field."""

    @classmethod
    def of(cls, field: np.ndarray) -> "Blocks":
        """Of a field (*spatial, C): the whole where it is small, else MOST blocks of SIDE × SIDE of a plane or volume."""
        spatial = field.shape[:-1]
        sides = tuple(min(n, SIDE) for n in spatial[-2:])
        if len(spatial) == 3:
            sides = (min(spatial[0], max(1, SIDE // 16)), *sides)
        starts = [np.linspace(0, n - s, -(-n // s)).astype(int).tolist() for n, s in zip(spatial, sides)]
        every = [tuple(one) for one in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(spatial))]
        places = sorted(np.random.default_rng(0).permutation(len(every))[:MOST].tolist())
        chosen = [tuple(map(int, every[i])) for i in places]
        parts = [field[tuple(slice(a, a + s) for a, s in zip(one, sides))] for one in chosen]
        return cls(tuple(parts), tuple(chosen))

    @property
    def nbytes(self) -> int:
        """Of the values."""
        return sum(values.nbytes for values in self.values)

    def with_values(self, values: Iterable[np.ndarray]) -> "Blocks":
        """The same places with other values."""
        return replace(self, values=tuple(values))


@dataclass(frozen=True, kw_only=True)
class PerImage:
    """Normalisation per image: two percentiles of the whole image become 0 and 1, before the run's own normaliser.

    Of a channel with one value in all pixels the medians over the training images take their place.
    """

    low: float = 1.0
    """Percentile that becomes 0."""
    high: float = 99.8
    """Percentile that becomes 1."""
    floor: float = 10.0
    """The span is at least so many standard deviations of the image's noise."""
    offset: tuple[float, ...] | None = None
    """Median grey level at 0 of the training images, for each channel; fitted."""
    span: tuple[float, ...] | None = None
    """Median span of the training images, for each channel; fitted."""

    def __post_init__(self):
        if not 0 <= self.low < self.high <= 100:
            raise DataError(f"low={self.low}, high={self.high}", "percentiles, low below high", "low=1, high=99.8")
        if not 0 <= self.floor < np.inf:
            raise DataError(f"floor={self.floor}", "a number, 0 or more", "floor=10")
        offset, span = self.offset or (), self.span or ()
        if len(offset) != len(span) or not np.isfinite(offset + span).all() or not all(one > 0 for one in span):
            expected = "both, of each channel, finite, spans above 0"
            raise DataError(f"offset={self.offset}, span={self.span}", expected, "leave them out: they are fitted")

    def fit(self, images: Iterable[np.ndarray]) -> "PerImage":
        """With the medians over images (*spatial, C) that are not blank filled in."""
        scales = [self._scale_of(parts) for parts in (Blocks.of(image).values for image in images)]
        offsets, spans = (np.stack(column) for column in zip(*scales))
        if blank := [c for c in range(spans.shape[1]) if not (spans[:, c] > 0).any()]:
            raise DataError(f"one value in every pixel of channel {blank[0]}", "images that vary", "remove the channel")
        medians = [np.median(column[spans[:, c] > 0, c]) for column in (offsets, spans) for c in range(spans.shape[1])]
        half = len(medians) // 2
        return replace(self, offset=tuple(map(float, medians[:half])), span=tuple(map(float, medians[half:])))

    def scale(self, image: np.ndarray) -> GreyScale:
        """The grey scale of a whole image (*spatial, C)."""
        return self.scale_of((image,))

    def scale_of(self, parts: Sequence[np.ndarray]) -> GreyScale:
        """The grey scale of the field that `parts` (*spatial, C) are of."""
        offset, span = self._scale_of(parts)
        blank = ~(span > 0)
        if blank.any():
            if self.offset is None or self.span is None:
                raise DataError("a blank image", "one that varies, or the numbers of a run", "fit PerImage")
            offset, span = np.where(blank, self.offset, offset), np.where(blank, self.span, span)
        return GreyScale(offset, span)

    def _scale_of(self, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Offset and span of each channel; a span of 0 where all pixels are equal."""
        offsets, spans = [], []
        for c in range(parts[0].shape[-1]):
            channel = [np.asarray(part[..., c]) for part in parts]
            values = _sorted(channel)
            low, high = (_quantile(values, percent / 100) for percent in (self.low, self.high))
            offsets.append(low)
            spans.append(max(high - low, self.floor * noise_of(channel, values)))
        return np.array(offsets), np.array(spans)


def noise_of(parts: Sequence[np.ndarray], values: np.ndarray | None = None) -> float:
    """Standard deviation of the noise of parts (*spatial) of an image, and at least that of rounding; 0 for one value.

    values: all of them, sorted, where they are at hand.
    """
    rounding = _step(_sorted(parts) if values is None else values) / np.sqrt(12)
    differences = _second_differences([part for part in parts if min(part.shape[-2:]) >= 3])
    return max(robust_scale(differences), rounding) if differences.size else rounding


def _step(values: np.ndarray) -> float:
    """Between grey levels, of sorted values; 0 for one value."""
    levels = values[np.append(True, values[1:] != values[:-1])].astype(np.float64)
    # Of floats the digits are no steps; and a broken pixel, far from all others, is not what they are compared with.
    contrast = (_quantile(values, BULK) - _quantile(values, 1 - BULK)) or float(levels[-1] - levels[0])
    steps = np.diff(levels)
    steps = steps[steps > 1e-4 * contrast]
    return float(steps.min()) if steps.size else 0.0


def _sorted(parts: Sequence[np.ndarray]) -> np.ndarray:
    """All values in one order, in the byte order of this machine and in no larger type than they have."""
    values = np.concatenate([part.ravel() for part in parts])
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    values.sort(kind="stable" if values.dtype.itemsize <= 2 else None)  # counted, not compared
    return values


def _quantile(values: np.ndarray, q: float) -> float:
    """Of sorted values, linear between two."""
    place = q * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return float(values[low]) + (place - low) * (float(values[high]) - float(values[low]))


def _second_differences(parts: Sequence[np.ndarray]) -> np.ndarray:
    """About DIFFERENCES of them, evenly spread over parts (*spatial) of 3 × 3 pixels or more, along both axes of planes."""
    shapes = [(*part.shape[:-2], part.shape[-2] - 2, part.shape[-1] - 2) for part in parts]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    chosen = np.arange(0, ends[-1], max(1, ends[-1] // DIFFERENCES)) if len(ends) else np.zeros(0, int)
    every = [np.zeros(0)]
    for part, shape, end in zip(parts, shapes, ends):
        inside = chosen[(chosen >= end - math.prod(shape)) & (chosen < end)] - (end - math.prod(shape))
        *others, y, x = np.unravel_index(inside, shape)
        near = [[part[(*others, y + i, x + j)].astype(np.float64) for j in range(3)] for i in range(3)]
        every.append(np.einsum("i,j,ijn->n", SECOND, SECOND, near))
    return np.concatenate(every)
