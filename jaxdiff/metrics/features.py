"""What a set of images is compared by: functions from images (N, *spatial, C) to features (N, d)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxdiff.metrics.paired import finite
from jaxdiff.metrics.rings import rings, taper

Features = Callable[[np.ndarray], np.ndarray]
"""Images (N, *spatial, C) to features (N, d), each image by itself."""

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
FLOOR = 1e-12
"""Least power of a coefficient, of the image's mean square: 120 dB down lies below any camera's rounding."""


def spectrum_and_quantiles(images: ArrayLike) -> Float[np.ndarray, "N d"]:
    """Power in rings of spatial frequency (decibels) and quantiles of the intensity, channel after channel.

    These need no trained weights, so they are as good for microscopy as for any image. They see size, sharpness,
    noise, contrast and brightness, and are blind to shape and arrangement that leave the spectrum alone. The power is
    that under Hann's window with the mean subtracted; images (N, *spatial, C) in 2-D or 3-D give d = C (R + 9) with R
    = half the shortest axis.

    Raises ValueError for other shapes or values that are not finite.
    """
    values = finite(images, "images")
    if values.ndim not in (4, 5) or min(values.shape[1:-1]) < 4:
        raise ValueError(
            f"got images of shape {values.shape}; expected (N, *spatial, channels), 2-D or 3-D, with at least 4 pixels "
            "along each spatial axis; to fix: images[..., None] adds a channel"
        )
    spatial = values.shape[1:-1]
    ring = rings(spatial, (1.0,) * len(spatial))
    window = taper(spatial, 1.0)
    window /= np.sqrt(np.sum(window**2))
    planes = np.moveaxis(values, -1, 1)  # (N, C, *spatial)
    axes = tuple(range(2, planes.ndim))
    rows = []
    for plane in planes:
        bands = [_decibels(channel, window, ring) for channel in plane]
        levels = np.quantile(plane, QUANTILES, axis=tuple(a - 1 for a in axes)).T
        rows.append(np.concatenate([np.array(bands), levels], axis=1).ravel())
    return np.array(rows)


def _decibels(channel: np.ndarray, window: np.ndarray, ring) -> np.ndarray:
    power = ring.sums(np.abs(np.fft.fftn((channel - channel.mean()) * window)) ** 2) / ring.counts
    least = max(FLOOR * np.mean(channel**2), np.finfo(np.float64).tiny)
    return 10 * np.log10(np.maximum(power, least))


def standardise(
    reference: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"]
) -> tuple[Float[np.ndarray, "N d"], Float[np.ndarray, "M d"]]:
    """Both less the reference's mean, over its standard deviation, feature by feature.

    A feature that is constant in the reference takes its standard deviation from both sets, and is 0 where that is
    constant too.
    """
    centre = reference.mean(axis=0)
    own, both = reference.std(axis=0), np.concatenate([reference, generated]).std(axis=0)
    rounding = 1e-9 * np.abs(centre)
    scale = np.where(own > rounding, own, np.where(both > rounding, both, np.inf))
    return (reference - centre) / scale, (generated - centre) / scale
