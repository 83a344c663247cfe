"""Numbers of more values than memory holds, in one pass: their moments, and the grey levels of many images by channel."""

from typing import Any

import numpy as np
from jaxtyping import Float

PERCENTILES = (0.1, 1, 50, 99, 99.9)
SAMPLES = 2**21  # pixels from which percentiles are estimated


class Moments:
    """Mean and variance over the first axis of blocks (N, *shape) that are added one by one, in float64.

    Merging means keeps the digits that sums of squares of large grey levels lose (Chan, Golub & LeVeque 1983,
    doi:10.1080/00031305.1983.10483115).
    """

    def __init__(self):
        self.count, self.mean, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, block: np.ndarray) -> None:
        """Takes in the values of a block, (N, *shape) with N of at least 1."""
        values, total = block.astype(np.float64), self.count + len(block)
        mean = values.mean(axis=0)
        delta = mean - self.mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + delta**2 * self.count * len(block) / total
        self.mean = self.mean + delta * len(block) / total
        self.count = total

    def std(self, ddof: int = 0) -> Float[np.ndarray, "*shape"]:
        """The square root of the squares over N − ddof; NaN where that is 0."""
        return np.sqrt(self._squares / (self.count - ddof)) if self.count > ddof else np.full_like(self.mean, np.nan)


class Statistics:
    """Sums of pixels (..., C) that are added piece by piece; percentiles from a sample of about 2 million pixels."""

    def __init__(self, channels: int, total: int):
        """total: pixels that will be added, about; it decides which part of each piece is sampled."""
        self._share = min(1.0, SAMPLES / max(1, total))
        self.moments = Moments()
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._at_high = np.zeros(channels, np.int64)
        self._samples: list[np.ndarray] = []
        self._rng = np.random.default_rng(0)

    def add(self, image: np.ndarray) -> None:
        """Takes in the pixels of an image (*spatial, C)."""
        pixels = image.reshape(-1, image.shape[-1])
        self.moments.add(pixels)
        high = np.maximum(self._high, pixels.max(axis=0))
        self._at_high = np.where(high == self._high, self._at_high, 0) + (pixels == high).sum(axis=0)
        self._low, self._high = np.minimum(self._low, pixels.min(axis=0)), high
        number = int(np.ceil(self._share * len(pixels)))
        self._samples.append(pixels[self._rng.integers(len(pixels), size=number)])

    def result(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """For each channel: name, mean, std, lowest, highest, pixels at the highest, percentiles."""
        samples = np.concatenate(self._samples)
        levels = np.percentile(samples, PERCENTILES, axis=0)
        mean, std = self.moments.mean, self.moments.std()
        return [
            {
                "name": name,
                "mean": float(mean[c]),
                "std": float(std[c]),
                "lowest": float(self._low[c]),
                "highest": float(self._high[c]),
                "pixels_at_highest": int(self._at_high[c]),
                "percentiles": {str(p): float(levels[i, c]) for i, p in enumerate(PERCENTILES)},
            }
            for c, name in enumerate(names)
        ]
