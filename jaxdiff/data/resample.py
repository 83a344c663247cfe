"""Images on a grid of another pixel size: where pixels lie, what is averaged when they grow, and masks beside images.

Pixel j of n·f pixels has its centre at (j + 1/2)/f - 1/2 of the n old ones, so that both grids cover the same field. Before
a grid becomes coarser the image is blurred by a Gaussian of (1/f - 1)/2 old pixels; between pixels it is linear. Beyond its
edges a field goes on as its mirror image.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from jaxdiff.data.errors import DataError

REACH = 4.0
"""Standard deviations of the Gaussian that are added up."""


def resampled_size(size: Sequence[int], factor: float) -> tuple[int, ...]:
    """Pixels along each axis of a field of `size` pixels, `factor` times as many; at least 1.

    Raises DataError for a factor that is not finite and above 0.
    """
    if not 0 < factor < np.inf:
        raise DataError(f"factor={factor}", "a number above 0", "1 keeps the pixels as they are")
    return tuple(max(1, round(n * factor)) for n in size)


def resampled(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An image (Y, X, C) on the grid of `size` pixels that covers the same field; float32 unless it has that size."""
    factor = tuple(m / n for m, n in zip(size, image.shape))
    return image if tuple(size) == image.shape[:2] else window_of(image, factor, (0.0, 0.0), size)


def resampled_mask(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Labels (Y, X) on the grid of `size` pixels: each the label of the nearest old pixel."""
    factor = tuple(m / n for m, n in zip(size, mask.shape))
    return mask if tuple(size) == mask.shape else window_of_mask(mask, factor, (0.0, 0.0), size)


def window_of(
    image: np.ndarray, factor: Sequence[float], start: Sequence[float], size: Sequence[int], blur: float = 0.0
) -> np.ndarray:
    """A window of an image (Y, X, C) seen on a grid of `factor` times as many pixels: (*size, C), float32.

    Args:
        image: of any real type.
        factor: new pixels for one old one, along y and x.
        start: of the window, in new pixels, whole or not; below 0 and beyond the field it is mirrored.
        size: of the window, in new pixels.
        blur: standard deviation of a further Gaussian, in new pixels.
    """
    sigma = [np.hypot(max(0.0, (1 / f - 1) / 2), blur / f) for f in factor]
    around = [int(np.ceil(REACH * s)) + 2 for s in sigma]
    region, first = _region(image, factor, start, size, around)
    pixels = region.astype(np.float32)
    if max(sigma) > 0:
        pixels = ndimage.gaussian_filter(pixels, (*sigma, 0.0), truncate=REACH)
    channels = [_at(pixels[..., c], factor, start, size, first, order=1) for c in range(image.shape[-1])]
    return np.stack(channels, axis=-1)


def window_of_mask(
    mask: np.ndarray, factor: Sequence[float], start: Sequence[float], size: Sequence[int]
) -> np.ndarray:
    """As `window_of`, of labels (Y, X): each that of the nearest old pixel."""
    region, first = _region(mask, factor, start, size, (1, 1))
    return _at(region, factor, start, size, first, order=0)


def _region(
    array: np.ndarray, factor: Sequence[float], start: Sequence[float], size: Sequence[int], around: Sequence[int]
) -> tuple[np.ndarray, list[int]]:
    """The part of an array that a window is made of, and where it begins; all of it where the window is the larger one."""
    slices = []
    for n, f, s, m, more in zip(array.shape, factor, start, size, around):
        low, high = int(np.floor((s + 0.5) / f - 0.5)) - more, int(np.ceil((s + m - 0.5) / f - 0.5)) + more + 1
        out = max(0, -low, high - n)  # mirrored from as far inside
        slices.append(
            slice(0, n) if 2 * out + more > n else slice(max(0, min(low, n) - out), min(n, max(high, 0) + out))
        )
    return array[tuple(slices)], [place.start for place in slices]


def _at(
    array: np.ndarray,
    factor: Sequence[float],
    start: Sequence[float],
    size: Sequence[int],
    first: Sequence[int],
    order: int,
) -> np.ndarray:
    offset = [(s + 0.5) / f - 0.5 - begin for s, f, begin in zip(start, factor, first)]
    step, shape = [1 / f for f in factor], tuple(size)
    # SciPy's annotations know of no offset for each axis.
    return ndimage.affine_transform(array, step, offset, shape, order=order, mode="reflect")  # pyright: ignore[reportArgumentType]
