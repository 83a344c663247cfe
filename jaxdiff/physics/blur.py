"""Blur of whole images by a Gaussian, in host memory."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage


def gaussian_blur(image: np.ndarray, sigma: Sequence[float]) -> Float[np.ndarray, "*spatial C"]:
    """Blur (*spatial, C) by a Gaussian of standard deviation `sigma` pixels along each spatial axis.

    The image goes on beyond its edges as its mirror image, the edge pixels repeated, so that no light is lost and the
    map is its own adjoint. The kernel ends at 4 sigma. float64 stays float64, everything else becomes float32.
    Raises ValueError for another number of sigmas than spatial axes, and for negative ones.
    """
    sigma = tuple(float(s) for s in sigma)
    if len(sigma) != image.ndim - 1 or not all(0 <= s < np.inf for s in sigma):
        raise ValueError(
            f"got sigma={sigma} for an image of shape {image.shape}; expected {image.ndim - 1} numbers, 0 or more; "
            "to fix: give pixels for each spatial axis, 0 for none"
        )
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    return ndimage.gaussian_filter(image.astype(dtype, copy=False), (*sigma, 0.0), mode="reflect")
