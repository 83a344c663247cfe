"""The shift between the two images of a pair, by phase correlation with sub-pixel precision.

1. R = conj(A) B over the frequencies f of the two images, each with its mean taken off and faded out at its edges.
2. Every frequency keeps its phase and gets the weight w = |R| / (|R| + mean |R|): near the plain phase correlation
   (w = 1: Kuglin and Hines 1975) where there is signal, little where there is only noise.
3. The shift d maximises c(d) = Σ w cos(arg R + 2π f·d): first on whole pixels, then on finer and finer grids around
   the best, by the matrix-multiply DFT of Guizar-Sicairos, Thurman and Fienup 2008, doi:10.1364/OL.33.000156.
4. Once more with the parts of both images that overlap after the shift by whole pixels, because 1 fades out other
   content in each.

The confidence is 1 - c(next peak) / c(peak). Measured on 64 to 96 px: 0.9 for equal images, above 0.6 for BBBC039
against itself with 10 photons at the brightest, below 0.42 for 95 % of image pairs that share nothing.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.sources.source import Source
from jaxdiff.physics.binning import area_binning

STEPS = (0.1, 0.01, 0.001)  # pixels between the points of each finer grid
FADE = 0.25  # share of an axis at each end over which an image fades out
CONFIDENT = 0.5
LARGE = 0.5  # pixels from which a shift, or its scatter over the pairs, is worth a note
LARGEST = 2**20  # pixels in the middle of an image that are enough for a pair of a source


@dataclass(frozen=True)
class Shift:
    """How many pixels further along each axis the second image shows what the first shows.

    `confidence` is near 1 for one clear peak of the correlation, near 0 where another is as high and `pixels` means
    nothing; CONFIDENT lies between.
    """

    pixels: tuple[float, ...]
    confidence: float


@dataclass(frozen=True)
class PairShift:
    """The shift of "image" against "input" over pairs of a source, in pixels of "image".

    `pixels` is the median and `scatter` the median absolute deviation along each axis over the `confident` of `samples`
    pairs that show a clear shift; `note` says what a person should know, or is None.
    """

    pixels: tuple[float, ...]
    scatter: tuple[float, ...]
    confident: int
    samples: int

    @property
    def note(self) -> str | None:
        largest = max(map(abs, self.pixels), default=0.0)
        scattered = max(self.scatter, default=0.0) > LARGE
        if 2 * self.confident < self.samples or not (scattered or largest > LARGE):
            return None
        names = ", ".join(("dz", "dy", "dx")[-len(self.pixels) :])
        numbers = ", ".join(f"{p:.2f}" for p in self.pixels)
        by = f"({names}) = ({numbers}) pixels, median of {self.confident} out of {self.samples}"
        if scattered:
            spread = ", ".join(f"{s:.2f}" for s in self.scatter)
            return (
                f"pairs are shifted by differing numbers of pixels: {by}, typically ({spread}) from it: register them"
            )
        return f"pairs are shifted by {by}: a model learns to shift, too, unless they are registered"


def estimate_shift(a: np.ndarray, b: np.ndarray) -> Shift:
    """The shift s of `b` against `a`, b(x) = a(x - s); finite (*spatial, C) of one spatial shape, any channels.

    Shifts of half an axis and more come out wrong. Images of different modality may have no common peak and, of
    opposite contrast, have none: the confidence is then low. A pattern that both detectors share, such as dust, is
    matched like any other. Raises DataError for different spatial shapes.
    """
    if a.shape[:-1] != b.shape[:-1]:
        raise DataError(f"images of {a.shape[:-1]} and {b.shape[:-1]} pixels", "one shape", "bin the finer image")
    a, b = _grey(a), _grey(b)
    shift, confidence = _correlate(a, b)
    integer = np.rint(shift).astype(int)
    if confidence > 0:
        of_a = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(integer, a.shape))
        of_b = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(integer, a.shape))
        rest, _ = _correlate(a[of_a], b[of_b])
        rest, _ = _correlate(a[of_a], b[of_b], np.clip(rest, -1, 1))
        if np.abs(rest).max() <= 1:
            shift = integer + rest
    return Shift(tuple(float(s) for s in shift), confidence)


def pair_shift(source: Source, samples: int = 16) -> PairShift:
    """The shift of "image" against "input" in up to `samples` records of a source, spread evenly over it.

    An "input" of whole times fewer pixels is compared with the image binned to it. Raises DataError where a record
    has no "input", or one of another shape.
    """
    if samples < 1 or not len(source):
        raise DataError(f"samples={samples} of {len(source)} pairs", "at least one of each", "samples=16")
    shifts: list[tuple[float, ...]] = []
    indices = np.unique(np.linspace(0, len(source) - 1, min(samples, len(source))).astype(int))
    for index in indices:
        record = source[int(index)]
        if "input" not in record:
            raise DataError(f"{record['name']} without an input", "pairs", "name the folder of the inputs")
        image, input_image = record["image"], record["input"]
        factors = tuple(n // m for n, m in zip(image.shape[:-1], input_image.shape[:-1]))
        if min(factors) < 1 or tuple(m * f for m, f in zip(input_image.shape, factors)) != image.shape[:-1]:
            raise DataError(
                f"{record['name']} of {image.shape[:-1]} pixels with an input of {input_image.shape[:-1]}",
                "equal numbers, or whole times more",
                "make both from the same field",
            )
        if max(factors) > 1:
            image = area_binning(image, factors)
        middle = _middle(input_image.shape[:-1])
        shift = estimate_shift(input_image[middle], image[middle])
        if shift.confidence >= CONFIDENT:
            shifts.append(tuple(s * f for s, f in zip(shift.pixels, factors)))
    median = np.median(shifts, axis=0) if shifts else np.zeros(0)
    scatter = np.median(np.abs(np.array(shifts) - median), axis=0) if shifts else median
    return PairShift(tuple(median.tolist()), tuple(scatter.tolist()), len(shifts), len(indices))


def _middle(spatial: tuple[int, ...]) -> tuple[slice, ...]:
    """The middle of an image, at most LARGEST pixels of it: the longest axes are cut first."""
    size = list(spatial)
    while np.prod(size) > LARGEST:
        longest = int(np.argmax(size))
        size[longest] = -(-size[longest] // 2)
    return tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(spatial, size))


def _grey(image: np.ndarray) -> np.ndarray:
    """The channels added up, each of standard deviation 1; a constant one adds nothing."""
    space = tuple(range(image.ndim - 1))
    pixels = image - image.mean(axis=space, dtype=np.float64)
    std = pixels.std(axis=space)
    return (pixels / np.where(std > 0, std, 1)).sum(axis=-1)


def _correlate(a: np.ndarray, b: np.ndarray, apart: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Shift and confidence, in one pass; the windows' centres are `apart` pixels from each other."""
    half = np.zeros(a.ndim) if apart is None else apart / 2
    product = np.conj(_spectrum(a, -half)) * _spectrum(b, half)
    size = np.abs(product)
    if not size.any():
        return np.zeros(a.ndim), 0.0
    phases = product / (size + size.mean())

    surface = np.fft.ifftn(phases, norm="forward").real
    best = np.unravel_index(np.argmax(surface), surface.shape)
    others = surface[(ndimage.maximum_filter(surface, 3, mode="wrap") == surface) & (surface < surface[best])]
    confidence = 1 - max(float(others.max(initial=0)), 0.0) / float(surface[best])
    shift = np.array([i - n if i > n // 2 else i for i, n in zip(best, surface.shape)], np.float64)
    for step in STEPS:
        grids = [step * np.arange(-10, 11) if n > 1 else np.zeros(1) for n in a.shape]
        around = phases
        for n, start, grid in zip(a.shape, shift, grids):
            # Each product takes the first axis away and puts the grid's behind the last.
            waves = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(n), start + grid))
            around = np.tensordot(around, waves, axes=(0, 0))
        place = np.unravel_index(np.argmax(np.real(around)), around.shape)
        shift = shift + [grid[i] for grid, i in zip(grids, place)]
    return shift, confidence


def _spectrum(plane: np.ndarray, off_centre: np.ndarray) -> np.ndarray:
    """DFT of a plane without its mean that fades out towards its edges."""
    window = np.ones(())
    for n, off in zip(plane.shape, off_centre):
        place = np.arange(n) + 0.5 - off
        to_edge = np.clip(np.minimum(place, n - place) / n, 0, FADE)
        window = window[..., None] * np.sin(np.pi / 2 * to_edge / FADE) ** 2
    mean = (plane * window).sum() / window.sum()
    return np.fft.fftn((plane - mean) * window)
