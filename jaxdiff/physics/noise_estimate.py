"""Gain and noise of a camera from a single image, and whether given ones fit it.

1. d = h * y, h the outer product of (1, −2, 1)/√6 with itself, has the variance of the noise, and nothing of what is linear
   along rows or columns (Immerkær 1996, doi:10.1006/cviu.1996.0060). m, the mean over AROUND × AROUND pixels, is uncorrelated
   with it.
2. Pixels are grouped by m; each group's variance is (1.4826 median |d|)², which the few pixels on edges hardly move.
3. Var = slope m + intercept over the groups, by least squares of the relative deviation, reweighted towards the least
   absolute one (Foi, Trimeche, Katkovnik & Egiazarian 2008, doi:10.1109/TIP.2008.2001399, in outline).

Texture as fine as a pixel counts as noise: it makes the estimate too high.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from jaxdiff.physics.camera import Camera

AROUND = 5
GROUPS = 48
CLEAR = 3.0
"""Standard errors from which a slope is one."""
FEWEST = 64
"""Pixels from which anything is estimated."""


@dataclasses.dataclass(frozen=True)
class NoiseEstimate:
    """Variance of the noise = slope · grey level + intercept (grey levels²)."""

    slope: float
    intercept: float
    means: Float[np.ndarray, " groups"]
    """Mean grey level of each group of pixels."""
    variances: Float[np.ndarray, " groups"]
    """Variance of the noise in it."""

    def camera(self, offset: float | None = None) -> Camera:
        """A camera of this noise: its gain is the slope.

        Offset and read noise show in the variance only together: without `offset` all is counted as photons above an offset
        that need not be the real one. Of noise that does not grow with light all is read noise, with next to no photons.
        """
        least = 0.01 * float(np.median(self.variances)) / max(float(np.ptp(self.means)), 1e-12)
        if self.slope <= least:
            dark = float(self.means.min()) if offset is None else offset
            return Camera(gain=least, offset=dark, read_noise=float(np.sqrt(np.median(self.variances))) / least)
        if offset is None:
            return Camera(gain=self.slope, offset=-self.intercept / self.slope)
        read = self.intercept + self.slope * offset
        if read < 0:  # less noise than the photons above this offset would make
            above = np.maximum(self.means - offset, 1e-3 * np.abs(self.means - offset).max())
            return Camera(gain=max(float(np.median(self.variances / above)), least), offset=offset)
        return Camera(gain=self.slope, offset=offset, read_noise=float(np.sqrt(read)) / self.slope)

    def ratio(self, camera: Camera) -> float:
        """Variance found over that of `camera`: the median over the groups."""
        return float(np.median(self.variances / np.maximum(camera.variance(self.means), 1e-12)))


def estimate_noise(
    image: Float[np.ndarray, "*spatial C"], seen: Bool[np.ndarray, "*spatial C"] | None = None
) -> NoiseEstimate:
    """The noise of an image of 2 or 3 spatial axes (planes are looked at one by one), channels together.

    seen: False for pixels that are left out, such as saturated ones. Raises ValueError for fewer than FEWEST pixels, and for
    an image without any noise.
    """
    image = np.asarray(image, np.float64)
    kept = np.isfinite(image) if seen is None else np.broadcast_to(seen, image.shape) & np.isfinite(image)
    filled = np.where(kept, image, 0.0)
    plane = (image.ndim - 3, image.ndim - 2)
    high, mean, around = filled, filled, kept.astype(np.float64)
    for axis in plane:
        high = ndimage.convolve1d(high, np.array([1.0, -2.0, 1.0]) / np.sqrt(6), axis=axis)
        mean = ndimage.uniform_filter1d(mean, AROUND, axis=axis)
        around = ndimage.uniform_filter1d(around, AROUND, axis=axis)
    inner = np.zeros(image.shape, bool)
    inner[(slice(None),) * plane[0] + (slice(2, -2), slice(2, -2))] = True
    whole = inner & (around > 1 - 1e-6)
    high, mean = high[whole], mean[whole]
    if high.size < FEWEST:
        raise ValueError(
            f"got {high.size} pixels to estimate the noise from; expected at least {FEWEST}; to fix: give --gain and "
            "--read-noise"
        )
    parts = np.array_split(np.argsort(mean, kind="stable"), min(GROUPS, high.size // FEWEST))
    means = np.array([mean[part].mean() for part in parts])
    variances = np.array([(1.4826 * np.median(np.abs(high[part]))) ** 2 for part in parts])
    if not (variances > 0).any():
        raise ValueError("got an image without noise; expected a recording; to fix: give --gain and --read-noise")
    means, variances = means[variances > 0], variances[variances > 0]
    return NoiseEstimate(*_line(means, variances), means, variances)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of y by relative deviations, reweighted to the least absolute ones; slope 0 unless it is clear."""
    columns = np.stack([x - x.mean(), np.ones_like(x)], axis=1)
    fitted, weight, found = np.full_like(y, np.median(y)), np.ones_like(y), np.zeros(2)
    least = 0.1 * np.median(y)
    scaled, scale = columns, weight
    for _ in range(30):
        scale = weight / np.maximum(fitted, least)
        scaled = columns * scale[:, None]
        found = np.linalg.lstsq(scaled, y * scale, rcond=None)[0]
        fitted = columns @ found
        weight = 1 / np.sqrt(np.maximum(np.abs(y - fitted) / np.maximum(fitted, least), 1e-2))
    rest = (y - fitted) * scale
    error = np.sqrt(np.linalg.pinv(scaled.T @ scaled)[0, 0] * np.sum(rest**2) / max(len(y) - 2, 1))
    if found[0] < CLEAR * error:
        return 0.0, float(np.median(y))
    return float(found[0]), float(found[1] - found[0] * x.mean())
