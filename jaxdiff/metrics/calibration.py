"""Does a probability happen that often, does an interval hold its share, is an error as large as it was said to be."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jaxdiff.metrics.paired import as_pair, finite

ROUNDING = 1e-3


class Reliability(NamedTuple):
    """Predicted probability against what came true, in B bins of equal width over [0, 1]; NaN in empty bins."""

    confidence: Float[np.ndarray, " B"]
    """Mean predicted probability."""
    frequency: Float[np.ndarray, " B"]
    """Share that came true."""
    counts: Int[np.ndarray, " B"]

    @property
    def expected_calibration_error(self) -> float:
        """Mean over all predictions of their bin's |frequency − confidence|."""
        full = self.counts > 0
        gap = np.abs(self.frequency[full] - self.confidence[full])
        return float(np.sum(gap * self.counts[full]) / np.sum(self.counts))


def reliability(probability: ArrayLike, truth: ArrayLike, bins: int = 15) -> Reliability:
    """The table behind a reliability diagram, for one of two kinds of prediction, told apart by their shapes.

    * binary: probability (*any) that the pixel or object is positive, truth (*any) of 0 and 1 or booleans;
    * classes: probability (*any, classes) that sums to 1, truth (*any) of class numbers. Here the probability of the
      most probable class is held against whether it was the right one (top-1).

    Bins are (i/B, (i+1)/B]; 0 belongs to the first. What rounding (up to 0.001) carried beyond 0 or 1 counts as 0 or 1.

    Raises ValueError for other shapes, probabilities outside [0, 1] or not summing to 1, or a truth of other values.
    """
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"got bins={bins}; expected a whole number of at least 1; to fix: 15")
    p, right = _predictions(finite(probability, "probability"), np.asarray(truth))
    # Ends as the probabilities' own precision writes them: 0.2 of float32 is no more than its fifth.
    kind = np.asarray(probability).dtype
    ends = (np.arange(bins + 1) / bins).astype(kind if np.issubdtype(kind, np.floating) else np.float64)
    place = np.clip(np.searchsorted(ends.astype(np.float64), p, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence, frequency = (np.bincount(place, v, minlength=bins) / counts for v in (p, right))
    return Reliability(confidence, frequency, counts)


def expected_calibration_error(probability: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Mean distance between predicted probability and observed frequency, 0 to 1; shapes and raises as `reliability`.

    Guo et al. 2017, arXiv:1706.04599. It is 0 for a constant equal to the positive share, and its size depends on the
    bins: compare only with the same number of them.
    """
    return reliability(probability, truth, bins).expected_calibration_error


def _predictions(p: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and whether each came true (1.0 or 0.0), both flat."""
    if p.min() < -ROUNDING or p.max() > 1 + ROUNDING:
        raise ValueError(
            f"got probabilities from {p.min():g} to {p.max():g}; expected [0, 1]; to fix: apply sigmoid or softmax"
        )
    if truth.dtype != bool and not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"got a truth of dtype {truth.dtype}; expected integers or booleans; to fix: convert it")
    classes = 2 if p.shape == truth.shape else p.shape[-1] if p.shape[:-1] == truth.shape else 0
    if not classes:
        raise ValueError(
            f"got probabilities of shape {p.shape} and a truth of shape {truth.shape}; expected the same shape "
            "(binary), or one more axis of classes; to fix: truth[..., 0] drops an axis"
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(
            f"got a truth from {truth.min()} to {truth.max()}; expected 0 to {classes - 1}; "
            "to fix: labels > 0 makes instances a foreground; leave out what has no class"
        )
    if p.shape == truth.shape:
        return np.clip(p, 0, 1).ravel(), truth.ravel().astype(np.float64)
    off = np.abs(p.sum(axis=-1) - 1).max()
    if off > ROUNDING:
        raise ValueError(f"got class probabilities {off:g} off a sum of 1; expected 1; to fix: apply softmax")
    return np.clip(p.max(axis=-1), 0, 1).ravel(), (p.argmax(axis=-1) == truth).ravel().astype(np.float64)


class Coverage(NamedTuple):
    """How often the truth lies between the least and the greatest of K samples."""

    share: float
    nominal: float
    """(K − 1) / (K + 1): the share if the truth were one more sample."""
    samples: int
    """K."""
    count: int
    """Truths; neighbouring pixels are not independent."""


def interval_coverage(truth: ArrayLike, samples: ArrayLike) -> Coverage:
    """Coverage of truths (*any) by K >= 2 samples (K, *any); K = 19 makes an interval of 90 %.

    The nominal value holds for continuous values: ties (saturated or whole-numbered pixels) count as covered.

    Raises ValueError for other shapes, fewer than two samples, or values that are not finite.
    """
    truth, samples = finite(truth, "truth"), finite(samples, "samples")
    if samples.shape[1:] != truth.shape or samples.ndim != truth.ndim + 1 or len(samples) < 2:
        raise ValueError(
            f"got samples of shape {samples.shape} of a truth of shape {truth.shape}; expected (K, *truth.shape) with "
            "K >= 2; to fix: stack the samples along a first axis"
        )
    number = len(samples)
    inside = (samples.min(axis=0) <= truth) & (truth <= samples.max(axis=0))
    return Coverage(float(inside.mean()), (number - 1) / (number + 1), number, truth.size)


class ErrorByStd(NamedTuple):
    """Predicted and true size of the error, in B bins of equal counts by rising prediction; units of the image."""

    std: Float[np.ndarray, " B"]
    """Root mean square of the predicted standard deviations."""
    error: Float[np.ndarray, " B"]
    """Root mean square of truth − mean."""
    counts: Int[np.ndarray, " B"]


def error_by_std(truth: ArrayLike, mean: ArrayLike, std: ArrayLike, bins: int = 10) -> ErrorByStd:
    """Is the error where, and as large as, the standard deviation says?

    For the mean of K samples and their standard deviation (with K − 1) a perfect sampler has error = √(1 + 1/K) std.
    Elements of equal std may fall into neighbouring bins.

    Levi et al. 2022, doi:10.3390/s22155540.

    Args:
        truth: of any shape.
        mean: of the prediction, of the same shape.
        std: of the prediction, of the same shape, 0 or more.
        bins: of equally many elements, by std.

    Returns:
        Root mean square error and std of each bin, and what sums them up.

    Raises:
        ValueError: for different shapes, negative std, values that are not finite, or fewer elements than bins.
    """
    truth, mean = as_pair(truth, mean, "mean")
    _, std = as_pair(truth, std, "std")
    if std.min() < 0:
        raise ValueError(f"got a std of {std.min():g}; expected 0 or more; to fix: take the square root of a variance")
    if not 1 <= bins <= std.size:
        raise ValueError(f"got bins={bins} for {std.size} elements; expected 1 to {std.size}; to fix: fewer bins")
    order = np.argsort(std, axis=None, kind="stable")
    squares = np.stack([std.ravel()[order] ** 2, (truth - mean).ravel()[order] ** 2])
    edges = np.linspace(0, std.size, bins + 1).astype(np.intp)
    counts = np.diff(edges)
    predicted, errors = np.sqrt(np.add.reduceat(squares, edges[:-1], axis=1) / counts)
    return ErrorByStd(predicted, errors, counts)
