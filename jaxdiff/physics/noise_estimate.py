"""Gain and noise of a camera from a single image, how sure that is, and whether given ones fit the image.

1. d = h * y, h the outer product of (1, −2, 1)/√6 with itself, has the variance of the noise, and nothing of what is linear
   along rows or columns (Immerkær 1996, doi:10.1006/cviu.1996.0060). m is the mean over AROUND × AROUND pixels.
2. Pixels are grouped by the mean of those of the window that d is not made of: grouped by noise that is in d, or in m, one
   light looks like a range of lights of one variance, and the line through them is too flat. Pixels around which m changes
   by more than noise makes it are left out, half of a group at most. A group's variance is Huber's estimate of scale, which
   the few pixels on edges that are left hardly move; where edges are the most of it, of differences of the fourth order. It
   is that of the mean light under h², which at an edge is not m.
3. `jaxdiff.physics.photon_transfer` fits the line of variance over grey level, with what is known of the camera. Of rounded
   grey levels `jaxdiff.physics.rounding` says the variance of few electrons, where offset and read noise are known; else
   groups of little noise are left out.

Texture as fine as a pixel counts as noise. Where its contrast is the same everywhere it grows with the square of the
light, and is told apart; else it makes the estimate too high.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from jaxdiff.physics.camera import Camera
from jaxdiff.physics.photon_transfer import Fit, Interval, fit_curve
from jaxdiff.physics.rounding import ROUGH, rounded_variance

AROUND, CORE = 5, 3
"""Pixels along a side of the window, and of that part of it of which d is made."""
GROUPS = 48
FEWEST = 64
"""Pixels from which anything is estimated."""
CLEAR = 0.7
"""Variance (steps²) up to which a group of rounded grey levels is not part of a line: rounding may add a third of it."""
WIDE = 0.1
"""Half width of the interval of a gain, relative, from which it is wide."""
DIFFERENCES = (np.array([1.0, -2.0, 1.0]) / np.sqrt(6), np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70))
"""h along one axis: of the second order, and of the fourth, which sees less of edges and says less of noise."""
BENT = 0.75
"""Standard errors by which the variance has to be less with the fourth order for a group to be taken from it."""
HUBER = 3.0
"""Standard deviations beyond which a pixel of d counts as if it were there: with 1.5 one electron has 4 % less."""
WINSORISED = 0.9950073
"""E[min(z², HUBER²)] of the normal distribution."""
EFFICIENCY = 0.8
"""Of that estimate: 2 / (2 + κ), κ the excess kurtosis of d, 1/(4 electrons), at half an electron; nearly 1 for many."""
CHANGE = 1.2
"""Change of m, in standard deviations of the noise, up to which it may be noise alone: 99 of 100 pixels without any light."""
SPIKE, ENDS = 4.0, 16
"""A sensor's end: so many times as many pixels as at the next grey level, and at least so many."""


@dataclasses.dataclass(frozen=True)
class NoiseEstimate:
    """Variance of the noise = slope · grey level + intercept (grey levels²)."""

    slope: float
    intercept: float
    means: Float[np.ndarray, " groups"]
    """Mean grey level of each group of pixels."""
    variances: Float[np.ndarray, " groups"]
    """Variance of the noise in it."""
    errors: Float[np.ndarray, " groups"]
    """Standard error of that, relative."""
    step: float = 0.0
    """Between the grey levels that there are, such as 1 of whole numbers; 0: any."""
    phase: float = 0.0
    """Of these, the one next to 0."""

    def camera(self, offset: float | None = None, read_noise: float | None = None) -> Camera:
        """A camera of this noise, with what is known of it.

        Offset and read noise show in the variance only together: without `offset` all is counted as photons above an offset
        that need not be the real one (and `read_noise` moves that). With it the read noise is what the photons do not
        explain, 0 or more. Of noise that does not grow with light all is read noise, with next to no photons. `gain` says
        how sure the gain is.
        """
        if offset is None:
            gain = self.gain(read_noise=read_noise).value
            if gain <= self._least:
                return self._dark(float(self.means.min()))
            read = read_noise or 0.0
            return Camera(gain=gain, offset=gain * read**2 - self.intercept / gain, read_noise=read)
        fitted = self._fit(offset, read_noise)
        if fitted.gain.value <= self._least:
            return self._dark(offset)
        return Camera(
            gain=fitted.gain.value, offset=offset, read_noise=fitted.read_noise if read_noise is None else read_noise
        )

    def gain(self, offset: float | None = None, read_noise: float | None = None) -> Interval:
        """Grey levels per electron, as of `camera`, with the interval of two standard errors.

        The scatter of the groups about the fit is in it, and what read noise, texture and rounding may take of the variance.
        """
        return self._fit(offset, read_noise).gain

    def ratio(self, camera: Camera) -> float:
        """Variance found over that of `camera`: the median over the groups."""
        return float(np.median(self.variances / np.maximum(self._of(camera), 1e-12)))

    def _fit(self, offset: float | None, read_noise: float | None) -> Fit:
        clear = self.slope * self.means + self.intercept > CLEAR * self.step**2
        if offset is not None and read_noise is not None:
            exact = self._known(offset, read_noise, clear | True)
            if (
                clear.all()
                or np.count_nonzero(clear) < 3
                or (exact.gain.value * read_noise) ** 2 > ROUGH * self.step**2
            ):
                return exact
            return exact._replace(gain=_hull(exact.gain, self._known(offset, read_noise, clear).gain))
        few = np.count_nonzero(clear) < 3
        clear |= few
        means, variances, errors = self.means[clear], self.variances[clear], self.errors[clear]
        # A free offset is a free intercept, of any sign, whatever the read noise.
        line = (
            fit_curve(means, variances, errors, free=True)
            if offset is None
            else fit_curve(means - offset, variances, errors)
        )
        if few:
            line = line._replace(gain=Interval(line.gain.value, 0.0, float("inf")))
        if offset is None or not self.step or line.intercept > ROUGH * self.step**2 or not line.gain.value:
            return line
        exact = self._known(offset, line.read_noise, clear | True)  # the line knows rounding of smooth noise only
        return Fit(_hull(exact.gain, line.gain), (exact.gain.value * line.read_noise) ** 2, exact.texture)

    def _known(self, offset: float, read_noise: float, groups: np.ndarray) -> Fit:
        means, variances, errors = self.means[groups], self.variances[groups], self.errors[groups]
        return fit_curve(
            means - offset,
            variances,
            errors,
            lambda gain: self._of(Camera(gain=gain, offset=offset, read_noise=read_noise))[groups],
        )

    def _of(self, camera: Camera) -> np.ndarray:
        if not self.step:
            return camera.variance(self.means)
        steps = Camera(
            gain=camera.gain / self.step, offset=(camera.offset - self.phase) / self.step, read_noise=camera.read_noise
        )
        return self.step**2 * rounded_variance(steps, (self.means - self.phase) / self.step)

    @property
    def _least(self) -> float:
        """The gain up to which the variance does not grow with light."""
        return 0.01 * float(np.median(self.variances)) / max(float(np.ptp(self.means)), 1e-12)

    def _dark(self, offset: float) -> Camera:
        return Camera(
            gain=self._least, offset=offset, read_noise=float(np.sqrt(np.median(self.variances))) / self._least
        )


def estimate_noise(
    image: Float[np.ndarray, "*spatial C"], seen: Bool[np.ndarray, "*spatial C"] | None = None
) -> NoiseEstimate:
    """The noise of an image of 2 or 3 spatial axes (planes are looked at one by one), channels together.

    seen: False for pixels that are left out, such as saturated ones; pixels at a sensor's end, of which there are many
    more than at the next grey level, are left out anyway. Raises ValueError for fewer than FEWEST pixels, and for an image
    without any noise.
    """
    image = np.asarray(image, np.float64)
    valid = np.isfinite(image) if seen is None else np.broadcast_to(seen, image.shape) & np.isfinite(image)
    inside = valid & ~_at_an_end(image, valid)
    plane = (image.ndim - 3, image.ndim - 2)
    surrounded = _surrounded(inside, plane)
    if np.count_nonzero(surrounded) < FEWEST:  # nothing else is there
        inside, surrounded = valid, _surrounded(valid, plane)
    if np.count_nonzero(surrounded) < FEWEST:
        raise ValueError(
            f"got {np.count_nonzero(surrounded)} pixels to estimate the noise from; expected at least {FEWEST}; to fix: give "
            "--gain and --read-noise"
        )
    image = np.where(inside, image, 0.0)
    mean = _separable(image, np.full(AROUND, 1 / AROUND), plane)
    window = tuple(AROUND if axis in plane else 1 for axis in range(image.ndim))
    change = (ndimage.maximum_filter(mean, window) - ndimage.minimum_filter(mean, window))[surrounded]
    core = _separable(image, np.full(CORE, 1 / CORE), plane)
    ring = (AROUND**2 * mean - CORE**2 * core) / (AROUND**2 - CORE**2)
    parts = np.array_split(
        np.argsort(ring[surrounded], kind="stable"), min(GROUPS, np.count_nonzero(surrounded) // FEWEST)
    )
    curves = []
    for taps in DIFFERENCES:
        high, light = (_separable(image, taps**power, plane)[surrounded] for power in (1, 2))
        rho = np.correlate(taps, taps, "full")
        quiet = [_quiet(part, high, change) for part in parts]
        counts = np.array([len(part) for part in quiet]) / np.sum(rho**2) ** len(plane)
        curves.append(
            (
                np.array([light[part].mean() for part in quiet]),
                np.array([robust_scale(high[part]) ** 2 for part in quiet]),
                np.sqrt(2 / (EFFICIENCY * counts)),
            )
        )
    (_, variances, errors), (_, finer, _) = curves
    bent = finer < (1 - BENT * errors) * variances
    means, variances, errors = (np.where(bent, fine, plain) for plain, fine in zip(*curves, strict=True))
    some = variances > 0
    if not some.any():
        raise ValueError("got an image without noise; expected a recording; to fix: give --gain and --read-noise")
    means, variances, errors = means[some], variances[some], errors[some]
    line = fit_curve(means, variances, errors, free=True)
    return NoiseEstimate(line.gain.value, line.intercept, means, variances, errors, *_steps(image[inside]))


def _hull(gain: Interval, other: Interval) -> Interval:
    return Interval(gain.value, min(gain.low, other.low), max(gain.high, other.high))


def _quiet(part: np.ndarray, high: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The pixels of a group around which the light changes no more than noise alone makes it seem, and half at least."""
    order = part[np.argsort(change[part], kind="stable")]
    half = order[: max(len(order) // 2, 1)]
    return order[: max(len(half), np.searchsorted(change[order], CHANGE * robust_scale(high[half])))]


def _surrounded(valid: np.ndarray, plane: tuple[int, int]) -> np.ndarray:
    """Pixels around which all AROUND × AROUND are kept."""
    inner = np.zeros(valid.shape, bool)
    inner[(slice(None),) * plane[0] + (slice(2, -2), slice(2, -2))] = True
    return inner & (_separable(valid.astype(np.float64), np.full(AROUND, 1 / AROUND), plane) > 1 - 1e-6)


def _steps(values: np.ndarray) -> tuple[float, float]:
    """The step between values that are rounded, and which of its multiples' neighbours they are: 0 where they are not."""
    levels = np.unique(values)
    if len(levels) < 2:
        return 0.0, 0.0
    span = levels[-1] - levels[0]
    for step in (float(span / np.rint(span / np.diff(levels).min())), 1.0):
        phase = float(levels[0] - step * np.rint(levels[0] / step))
        number = (levels - phase) / step
        if np.abs(number - np.rint(number)).max() < 0.01:
            return step, phase
    return 0.0, 0.0


def _separable(image: np.ndarray, taps: np.ndarray, plane: tuple[int, int]) -> np.ndarray:
    for axis in plane:
        image = ndimage.convolve1d(image, taps, axis=axis)
    return image


def _at_an_end(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Pixels at the lowest or highest grey level, where a sensor or a file cut them off."""
    ends = np.zeros(image.shape, bool)
    values = np.sort(image[valid])
    if values.size == 0 or values[0] == values[-1]:
        return ends
    for level, after in (
        (values[0], values[np.searchsorted(values, values[0], "right")]),
        (values[-1], values[np.searchsorted(values, values[-1], "left") - 1]),
    ):
        at_level, next_to = (
            np.searchsorted(values, v, "right") - np.searchsorted(values, v, "left") for v in (level, after)
        )
        if at_level >= ENDS and at_level > SPIKE * next_to:
            ends |= image == level
    return ends


def robust_scale(values: np.ndarray) -> float:
    """Huber's estimate of the standard deviation about 0 (proposal 2): of grey levels that are whole numbers, too, smooth."""
    scale = 1.4826 * float(np.median(np.abs(values)))
    if scale == 0:  # more than half of the pixels are equal
        scale = float(np.sqrt(np.mean(values**2)))
    for _ in range(20):
        scale = float(np.sqrt(np.mean(np.minimum(values**2, (HUBER * scale) ** 2)) / WINSORISED))
    return scale
