"""Which segmented object is which true one, and the average precision that follows.

At a threshold t a true and a segmented object may be matched if their intersection over union is at least t; each
object is matched at most once. Of all ways the one with the most matches is taken, and among these the one with the
largest sum of IoU (above t = 0.5 there is only one way). TP = matches, FP = segmented objects left, FN = true ones left.

The field calls TP / (TP + FP + FN) the average precision at t, though it is no area under a curve: Caicedo et al.
2019, doi:10.1038/s41592-019-0612-7; Schmidt et al. 2018 (StarDist), arXiv:1806.03535.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from jaxdiff.metrics.contingency import Contingency, contingency

THRESHOLDS = tuple(k / 20 for k in range(10, 19))
"""0.5, 0.55, …, 0.9."""


class Matching(NamedTuple):
    """The matched pairs of objects at one threshold, by rising id of the true object."""

    truth_ids: Int[np.ndarray, " tp"]
    label_ids: Int[np.ndarray, " tp"]
    iou: Float[np.ndarray, " tp"]
    tp: int
    fp: int
    fn: int


class Counts(NamedTuple):
    """Matched and unmatched objects at each of T thresholds, of one image or, pooled, of many."""

    thresholds: Float[np.ndarray, " T"]
    tp: Int[np.ndarray, " T"]
    fp: Int[np.ndarray, " T"]
    fn: Int[np.ndarray, " T"]

    @property
    def average_precision(self) -> Float[np.ndarray, " T"]:
        """TP / (TP + FP + FN); 1 where there are no objects on either side: nothing was missed, nothing made up."""
        return _share(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> Float[np.ndarray, " T"]:
        """TP / (TP + FP); 1 without segmented objects."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Float[np.ndarray, " T"]:
        """TP / (TP + FN); 1 without true objects."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> Float[np.ndarray, " T"]:
        """2 TP / (2 TP + FP + FN); 1 without objects."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _share(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.where(total > 0, part / np.maximum(total, 1), 1.0)


def pool(counts: Iterable[Counts]) -> Counts:
    """The counts of a data set: every object weighs the same, whereas a mean of images weighs images the same.

    Raises ValueError for none, or for different thresholds.
    """
    counts = list(counts)
    if not counts:
        raise ValueError("got no counts; expected those of at least one image; to fix: count_matches(truth, labels)")
    first = counts[0].thresholds
    if any(not np.array_equal(first, each.thresholds) for each in counts):
        raise ValueError("got counts at different thresholds; expected the same; to fix: count all with the same")
    return Counts(first, *(np.sum([each[i] for each in counts], axis=0) for i in (1, 2, 3)))


def matching(truth: ArrayLike, labels: ArrayLike, threshold: float = 0.5) -> Matching:
    """The matched objects of two label images (*spatial), 0 = background.

    Raises ValueError for different shapes, labels that are no integers >= 0, or a threshold outside (0, 1].
    """
    check_thresholds([threshold])
    return match(contingency(truth, labels), threshold)


def count_matches(truth: ArrayLike, labels: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> Counts:
    """TP, FP and FN at each threshold; raises as `matching`. `pool` adds those of several images.

    Example:
        >>> truth, labels = np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]])
        >>> counts = count_matches(truth, labels, [0.5, 0.7])
        >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()
        ([1, 0], [0, 1], [1, 2])
    """
    at = check_thresholds(thresholds)
    table = contingency(truth, labels)
    matches = [match(table, threshold) for threshold in at]
    return Counts(at, *(np.array([getattr(each, name) for each in matches]) for name in ("tp", "fp", "fn")))


def average_precision(
    truth: ArrayLike, labels: ArrayLike, thresholds: Sequence[float] = (0.5,)
) -> Float[np.ndarray, " T"]:
    """TP / (TP + FP + FN) at each IoU threshold; 1 where both images are blank. Raises as `matching`."""
    return count_matches(truth, labels=labels, thresholds=thresholds).average_precision


def mean_average_precision(truth: ArrayLike, labels: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> float:
    """The mean of `average_precision` over thresholds, 0.5 to 0.9 in steps of 0.05 unless told otherwise."""
    return float(np.mean(average_precision(truth, labels=labels, thresholds=thresholds)))


def match(table: Contingency, threshold: float) -> Matching:
    """The best matching of a table's objects."""
    iou = table.iou
    good = np.flatnonzero(iou >= threshold)
    # Only pairs that compete for an object need the Hungarian method; above 0.5 there are none.
    rivals = (np.bincount(table.row[good])[table.row[good]] > 1) | (
        np.bincount(table.column[good])[table.column[good]] > 1
    )
    chosen = np.sort(np.concatenate([good[~rivals], _assign(table, iou, good[rivals])]))
    return Matching(
        table.truth_ids[table.row[chosen]],
        table.label_ids[table.column[chosen]],
        iou=iou[chosen],
        tp=len(chosen),
        fp=len(table.label_ids) - len(chosen),
        fn=len(table.truth_ids) - len(chosen),
    )


def _assign(table: Contingency, iou: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Of these pairs the most that share no object, with the largest sum of IoU."""
    rows, row = np.unique(table.row[pairs], return_inverse=True)
    columns, column = np.unique(table.column[pairs], return_inverse=True)
    most = min(len(rows), len(columns))
    value = np.zeros((len(rows), len(columns)))
    value[row, column] = 1 + iou[pairs] / (2 * max(most, 1))  # all IoU together weigh less than one more match
    place = np.full(value.shape, -1)
    place[row, column] = pairs
    chosen = place[linear_sum_assignment(value, maximize=True)]
    return chosen[chosen >= 0]


def check_thresholds(values: Sequence[float]) -> np.ndarray:
    """As an array. Raises ValueError for one outside (0, 1]."""
    at = np.atleast_1d(np.asarray(values, np.float64))
    if at.ndim != 1 or not at.size or not np.all((at > 0) & (at <= 1)):
        raise ValueError(f"got IoU thresholds {values}; expected numbers in (0, 1]; to fix: (0.5, 0.75)")
    return at
