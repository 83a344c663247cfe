"""Grey levels of many images, channel by channel, in one pass."""

from typing import Any

import numpy as np

PERCENTILES = (0.1, 1, 50, 99, 99.9)
SAMPLES = 2**21  # pixels from which percentiles are estimated


class Statistics:
    """Sums of pixels (..., C) that are added piece by piece; percentiles from a sample of about 2 million pixels."""

    def __init__(self, channels: int, total: int):
        """total: pixels that will be added, about; it decides which part of each piece is sampled."""
        self._share = min(1.0, SAMPLES / max(1, total))
        self.pixels, self._mean, self._squares = 0, np.zeros(channels), np.zeros(channels)
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._at_high = np.zeros(channels, np.int64)
        self._samples: list[np.ndarray] = []
        self._rng = np.random.default_rng(0)

    def add(self, image: np.ndarray) -> None:
        """Takes in the pixels of an image (*spatial, C)."""
        pixels = image.reshape(-1, image.shape[-1])
        n, values = len(pixels), pixels.astype(np.float64)
        # Chan et al. 1983: merging means keeps the digits that sums of squares of large grey levels lose.
        mean, delta = values.mean(axis=0), values.mean(axis=0) - self._mean
        self._squares += ((values - mean) ** 2).sum(axis=0) + delta**2 * self.pixels * n / (self.pixels + n)
        self._mean += delta * n / (self.pixels + n)
        self.pixels += n
        high = np.maximum(self._high, pixels.max(axis=0))
        self._at_high = np.where(high == self._high, self._at_high, 0) + (pixels == high).sum(axis=0)
        self._low, self._high = np.minimum(self._low, pixels.min(axis=0)), high
        self._samples.append(pixels[self._rng.integers(n, size=int(np.ceil(self._share * n)))])

    def result(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """For each channel: name, mean, std, lowest, highest, pixels at the highest, percentiles."""
        samples = np.concatenate(self._samples)
        levels = np.percentile(samples, PERCENTILES, axis=0)
        std = np.sqrt(self._squares / self.pixels)
        return [
            {
                "name": name,
                "mean": float(self._mean[c]),
                "std": float(std[c]),
                "lowest": float(self._low[c]),
                "highest": float(self._high[c]),
                "pixels_at_highest": int(self._at_high[c]),
                "percentiles": {str(p): float(levels[i, c]) for i, p in enumerate(PERCENTILES)},
            }
            for c, name in enumerate(names)
        ]
