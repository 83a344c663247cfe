"""Resolution of an image from two recordings of it: Fourier ring correlation, and Fourier shell correlation in 3-D.

    FRC(f) = Re Σ A conj(B) / sqrt(Σ|A|² Σ|B|²)          sums over the ring of frequency f

Two images with the same signal and independent noise of the same power correlate by SNR / (1 + SNR), SNR being the
ratio of the two powers in the ring; independent noise alone correlates by 0 ± 1/√counts. (A taper ties neighbouring
coefficients together and makes that 1.02 times wider with a share of 1/4, 1.36 times with Hann's window.)

van Heel & Schatz 2005, doi:10.1016/j.jsb.2005.05.009; Nieuwenhuizen et al. 2013, doi:10.1038/nmeth.2448.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jaxdiff.metrics.paired import as_pair
from jaxdiff.metrics.rings import rings, taper

SHORTEST = 8


class FRC(NamedTuple):
    """Correlation of two images in R rings of rising frequency."""

    frequency: Float[np.ndarray, " R"]
    """Cycles per `unit`."""
    correlation: Float[np.ndarray, " R"]
    """In [−1, 1]; 0 in a ring where one of the images has no power at all."""
    counts: Int[np.ndarray, " R"]
    """Fourier coefficients in the ring, both halves of the plane."""
    unit: str


class Resolution(NamedTuple):
    """The length at which two images cease to agree."""

    length: float
    """1 / frequency; inf where not even the first ring agrees; two pixels where all rings do."""
    unit: str
    crossed: bool
    """False: the correlation stays above the threshold as far as the pixels reach, so `length` is an upper bound."""


def fourier_ring_correlation(
    a: ArrayLike,
    b: ArrayLike,
    pixel_size: float | Sequence[float] | None = None,
    unit: str | None = None,
    taper_share: float = 0.25,
) -> FRC:
    """Correlation in rings of two images (*spatial, 1) of the same place with independent noise.

    Rings end at the lowest Nyquist frequency of any axis. The mean is subtracted, then a Tukey window falls to 0 at the
    edges, since opposite edges of an image do not match.

    Args:
        a: (*spatial, 1).
        b: of the same shape.
        pixel_size: one number or one a spatial axis, in `unit`; without it frequencies are in cycles per pixel.
        unit: of the pixel size.
        taper_share: the window falls over `taper_share`/2 of each axis at each end; 0 for none.

    Returns:
        Frequency, correlation and number of coefficients of each ring, for `resolution`.

    Raises:
        ValueError: for different shapes, several channels, an axis below 8 pixels, or values that are not finite.
    """
    a, b = as_pair(a, b, "the other image")
    if a.ndim not in (3, 4) or a.shape[-1] != 1 or min(a.shape[:-1]) < SHORTEST:
        raise ValueError(
            f"got images of shape {a.shape}; expected (*spatial, 1), 2-D or 3-D, with at least {SHORTEST} pixels along "
            "each spatial axis; to fix: image[..., c:c+1] takes one channel, image[..., None] adds one"
        )
    if not 0 <= taper_share <= 1:
        raise ValueError(f"got taper_share={taper_share}; expected 0 to 1; to fix: 0.25")
    sizes = _sizes(pixel_size, a.ndim - 1)
    if pixel_size is None and unit is not None:
        raise ValueError(f"got unit={unit!r} without a pixel size; expected both; to fix: pass pixel_size")
    ring = rings(a.shape[:-1], sizes)
    window = taper(a.shape[:-1], taper_share)
    x, y = (np.fft.fftn(_around_0(image[..., 0]) * window) for image in (a, b))
    power = np.sqrt(ring.sums(np.abs(x) ** 2) * ring.sums(np.abs(y) ** 2))
    shared = ring.sums((x * y.conj()).real)
    correlation = np.divide(shared, power, out=np.zeros_like(power), where=power > 0)
    name = "pixel" if pixel_size is None else unit or "unit of pixel_size"
    return FRC(ring.frequency, np.clip(correlation, -1, 1), ring.counts, name)


def resolution(frc: FRC, threshold: float = 1 / 7, smooth: int = 3) -> Resolution:
    """The length where the correlation first falls below a threshold, with linear interpolation between rings.

    The curve is averaged over `smooth` neighbouring rings (odd; 1 = as it is), weighted by their counts: single rings
    of few coefficients dip below by chance. (A sharp edge of the curve moves out by up to two rings.) 1/7 is the usual
    threshold in light microscopy (Nieuwenhuizen et al.).

    Raises ValueError for a threshold outside (0, 1) or an even `smooth`.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"got threshold={threshold}; expected a number between 0 and 1; to fix: 1/7")
    if smooth < 1 or smooth % 2 == 0:
        raise ValueError(f"got smooth={smooth}; expected an odd number of rings; to fix: 3")
    centre = slice(smooth // 2, smooth // 2 + len(frc.counts))  # neighbours beyond the ends do not exist
    shared, counts = (np.convolve(v, np.ones(smooth))[centre] for v in (frc.correlation * frc.counts, frc.counts))
    curve = shared / counts
    below = np.flatnonzero(curve < threshold)
    if not len(below):
        return Resolution(float(1 / frc.frequency[-1]), frc.unit, False)
    k = below[0]
    if k == 0:
        return Resolution(float("inf"), frc.unit, True)
    part = (curve[k - 1] - threshold) / (curve[k - 1] - curve[k])
    frequency = frc.frequency[k - 1] + part * (frc.frequency[k] - frc.frequency[k - 1])
    return Resolution(float(1 / frequency), frc.unit, True)


def _around_0(image: np.ndarray) -> np.ndarray:
    """Less its mean; a constant image is 0 exactly, for the rounding of two constants correlates."""
    return image - image.mean() if np.ptp(image) > 0 else np.zeros_like(image)


def _sizes(pixel_size: float | Sequence[float] | None, axes: int) -> tuple[float, ...]:
    sizes = pixel_size if isinstance(pixel_size, Sequence) else (1.0 if pixel_size is None else pixel_size,) * axes
    if len(sizes) != axes or any(size is None or not 0 < size < float("inf") for size in sizes):
        raise ValueError(
            f"got pixel_size={pixel_size} for {axes} spatial axes; expected one positive number, or one an axis; "
            "to fix: leave it out where it is unknown"
        )
    return tuple(float(size) for size in sizes)
