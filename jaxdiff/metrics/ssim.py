"""Structural similarity."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from jaxdiff.metrics.image import positive_range
from jaxdiff.metrics.paired import as_pair

SIGMA = 1.5
RADIUS = 5  # 11 pixels
K1, K2 = 0.01, 0.03


def ssim(truth: ArrayLike, image: ArrayLike, data_range: float) -> float:
    """Mean structural similarity of images (*spatial, C), 2-D or 3-D, over pixels and channels; 1 = equal.

    As first published: Gaussian weights of 1.5 pixels over 11, K1 = 0.01, K2 = 0.03, population covariance, and only
    places whose whole window lies in the image. scikit-image's `structural_similarity` gives this number with
    `gaussian_weights=True, use_sample_covariance=False, channel_axis=-1`. A volume has an 11³ window in voxels,
    whatever their size.

    Wang, Bovik, Sheikh & Simoncelli 2004, doi:10.1109/TIP.2003.819861.

    Raises ValueError for different shapes, an image below 11 pixels, values that are not finite, or a range that is
    not positive.
    """
    truth, image = as_pair(truth, image)
    peak = positive_range(data_range)
    if truth.ndim not in (3, 4) or min(truth.shape[:-1]) <= 2 * RADIUS:
        raise ValueError(
            f"got images of shape {truth.shape}; expected (*spatial, channels), 2-D or 3-D, with at least "
            f"{2 * RADIUS + 1} pixels along each spatial axis; to fix: image[..., None] adds a channel"
        )
    return float(np.mean([_one_channel(truth[..., c], image[..., c], peak) for c in range(truth.shape[-1])]))


def _one_channel(x: np.ndarray, y: np.ndarray, peak: float) -> float:
    valid = (slice(RADIUS, -RADIUS),) * x.ndim

    def local_mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, SIGMA, radius=RADIUS)[valid]

    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (var_x + var_y + c2)))
