"""How near an image is to its truth, pixel by pixel."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.metrics.paired import as_pair, finite


def data_range(truths: Iterable[ArrayLike], low: float = 0.1, high: float = 99.9) -> float:
    """The range that PSNR and SSIM are told: between two percentiles of all pixels of all true images of a data set.

    One number for the whole set. The range of each image apart would reward dark fields, and the maximum is one hot
    pixel. Images may differ in shape; channels count alike. All pixels are in memory at once.

    Raises ValueError for no images, or where both percentiles are equal.
    """
    values = []
    for truth in truths:
        finite(truth, "a truth")
        values.append(np.ravel(np.asarray(truth)))
    if not values:
        raise ValueError("got no images; expected the truths of the data set; to fix: pass a list of images")
    below, above = (float(v) for v in np.percentile(np.concatenate(values), (low, high)))
    if not above > below:
        raise ValueError(
            f"got truths whose {low}th and {high}th percentiles are both {below:g}; expected images that are not "
            "blank; to fix: give the range yourself"
        )
    return above - below


def positive_range(data_range: float) -> float:
    """The range, if it is one. Raises ValueError otherwise."""
    if not 0 < data_range < float("inf"):
        raise ValueError(f"got data_range={data_range}; expected a positive number; to fix: metrics.data_range(truths)")
    return float(data_range)


def psnr(truth: ArrayLike, image: ArrayLike, data_range: float) -> float:
    """Peak signal-to-noise ratio in decibels, 10 log10(data_range² / mean squared error); inf where they are equal.

    Raises ValueError for different shapes, values that are not finite, or a range that is not positive.
    """
    truth, image = as_pair(truth, image)
    peak = positive_range(data_range)
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(peak**2 / np.mean((truth - image) ** 2)))


def nrmse(truth: ArrayLike, image: ArrayLike, by: Literal["rms", "mean", "range"] = "rms") -> float:
    """Root mean squared error over the truth's root mean square, mean, or range (maximum − minimum).

    Where the camera adds an offset, subtract it first: the root mean square and the mean contain it.

    Raises ValueError as `psnr` does, and where that size of the truth is 0.
    """
    truth, image = as_pair(truth, image)
    sizes = {"rms": np.sqrt(np.mean(truth**2)), "mean": np.abs(np.mean(truth)), "range": np.ptp(truth)}
    if by not in sizes:
        raise ValueError(f"got by={by!r}; expected one of {', '.join(sizes)}; to fix: choose one of these")
    if sizes[by] == 0:
        raise ValueError(f"got a truth whose {by} is 0; expected a signal; to fix: leave blank images out")
    return float(np.sqrt(np.mean((truth - image) ** 2)) / sizes[by])


def pearson(truth: ArrayLike, image: ArrayLike) -> float:
    """Pearson's correlation coefficient over all elements, in [−1, 1]; NaN where one of the two is constant.

    Raises ValueError for different shapes or values that are not finite.
    """
    truth, image = as_pair(truth, image)
    if np.ptp(truth) == 0 or np.ptp(image) == 0:
        return float("nan")
    x, y = truth - truth.mean(), image - image.mean()
    # Normalised before the product, so that neither huge nor tiny values overflow.
    correlation = np.sum((x / np.linalg.norm(x.ravel())) * (y / np.linalg.norm(y.ravel())))
    return float(np.clip(correlation, -1, 1))
