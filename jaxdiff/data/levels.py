"""The grey levels that a model was trained on, and what of an image lies outside them.

Of every training image, and of parts of it as large as a patch, three levels are taken: its 1st percentile (dark), its
median (middle) and its 99.9th percentile (bright). The range of each over all of them is kept with the run. An image is
compared by the same three, in the model's units, in which equal distances look alike to the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser
from jaxdiff.schema import dataclass_of

PERCENTILES = {"dark": 1.0, "middle": 50.0, "bright": 99.9}
NAMES = {"dark": "1st percentile", "middle": "median", "bright": "99.9th percentile"}
MARGIN = {"dark": 0.25, "middle": 0.25, "bright": 0.5}
"""Standard deviations of the training pixels beyond the range that do not count as outside."""
OF_NORMALISER = {"dark": (-4.0, 1.5), "middle": (-1.5, 2.5), "bright": (-0.5, 30.0)}
"""Ranges in model units that are taken where a run does not say: training pixels have mean 0 and standard deviation 1."""
MOST = 512
"""Training images that are looked at, at most; of more, so many spread evenly."""
PARTS = 4
"""Parts as large as a patch, of each of them."""
PIXELS = 2**18
"""Pixels of an image from which its percentiles are estimated, at most."""

Range = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Levels:
    """The least and the largest of each level over the training images, for each channel, in data units."""

    dark: Range
    middle: Range
    bright: Range
    known: bool = True
    """False where they were not measured, but follow from the normaliser."""

    def __post_init__(self):
        for name in PERCENTILES:
            pairs = tuple((float(low), float(high)) for low, high in getattr(self, name))
            if len(pairs) != len(self.dark) or not all(np.isfinite(p).all() and p[0] <= p[1] for p in pairs):
                raise DataError(f"levels {name}={pairs}", "a least and a largest number for each channel", "fit them")
            object.__setattr__(self, name, pairs)

    @property
    def channels(self) -> int:
        """The number of channels."""
        return len(self.dark)

    @property
    def brightest(self) -> float:
        """The largest level of all channels."""
        return max(high for _, high in self.bright)

    @classmethod
    def over(cls, images: Sequence[np.ndarray]) -> "Levels":
        """The ranges over what `levels_of` gave of each image."""
        if not images:
            raise DataError("no images", "at least one", "give training images")
        stacked = np.concatenate(images)
        dark, middle, bright = (_ranges(*ends) for ends in zip(stacked.min(axis=0), stacked.max(axis=0)))
        return cls(dark, middle, bright)

    @classmethod
    def of_normaliser(cls, normaliser: Normaliser) -> "Levels":
        """What a run's normaliser alone tells of its training images."""
        dark, middle, bright = (_ends(normaliser, *z) for z in OF_NORMALISER.values())
        return cls(dark, middle, bright, known=False)

    def outside(
        self, image: np.ndarray, normaliser: Normaliser, names: Sequence[str], *, noisy: bool = False
    ) -> list[str]:
        """What of an image (*spatial, C) is outside, in words with numbers; pixels that are not finite are left out.

        names: of the channels. noisy: recordings with more noise or blur than the training images had, which may be darker
        where they are dark and which blur has made less bright: only what noise and blur do not explain.
        """
        levels = _levels(image)
        lines = []
        for k, name in enumerate(PERCENTILES):
            least, most = np.array(getattr(self, name)).T
            z, low, high = (normaliser.forward(values) for values in (levels[k], least, most))
            margin = MARGIN[name] * (2 if noisy else 1)
            below = (z < low - margin) & (not noisy or name != "dark")
            above = (z > high + margin) & (not noisy or name != "bright")
            for c in np.flatnonzero(below | above).tolist():
                of = f" of {names[c]}" if self.channels > 1 else ""
                lines.append(f"{NAMES[name]}{of} {levels[k][c]:.4g} (training: {least[c]:.4g} to {most[c]:.4g})")
        end = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else np.inf
        if self.known and end < self.brightest:
            lines.append(f"{image.dtype} pixels, which end at {end} (training: up to {self.brightest:.4g})")
        return lines

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; `from_json` is its inverse."""
        return {name: [list(pair) for pair in getattr(self, name)] for name in PERCENTILES} | {"known": self.known}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Levels":
        """The levels that `to_json` wrote. Raises ValueError, naming the field, for anything else."""
        return dataclass_of(cls, values, "levels")


def _ranges(low: np.ndarray, high: np.ndarray) -> Range:
    return tuple(zip(low.tolist(), high.tolist()))


def _ends(normaliser: Normaliser, low: float, high: float) -> Range:
    """Two values in model units, in the data units of each channel."""
    ones = np.ones(normaliser.channels)
    return _ranges(normaliser.inverse(low * ones), normaliser.inverse(high * ones))


def blank(image: np.ndarray) -> bool:
    """Whether each channel of an image (*spatial, C) has one value in all its finite pixels."""
    return all(one.size == 0 or one.min() == one.max() for one in _channels(image))


def levels_of(image: np.ndarray, patch: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """(1 + PARTS, 3, C): dark, middle and bright of an image (*spatial, C) and of parts of `patch` pixels of a larger one."""
    spatial = image.shape[:-1]
    parts = []
    for _ in range(PARTS if any(n > p for n, p in zip(spatial, patch)) else 0):
        starts = [int(rng.integers(max(0, n - p) + 1)) for n, p in zip(spatial, patch)]
        parts.append(image[tuple(slice(s, s + p) for s, p in zip(starts, patch))])
    return np.stack([_levels(one) for one in (image, *parts)])


def _levels(image: np.ndarray) -> np.ndarray:
    """(3, C): dark, middle and bright of each channel; NaN for a channel without a finite pixel."""
    of_channels = []
    for pixels in _channels(image):
        if pixels.size > PIXELS:
            pixels = pixels[np.random.default_rng(0).integers(pixels.size, size=PIXELS)]
        of_channels.append(np.percentile(pixels, list(PERCENTILES.values())) if pixels.size else np.full(3, np.nan))
    return np.stack(of_channels, axis=1)


def _channels(image: np.ndarray) -> list[np.ndarray]:
    flat = image.reshape(-1, image.shape[-1])
    return [pixels[np.isfinite(pixels)] if image.dtype.kind == "f" else pixels for pixels in flat.T]
