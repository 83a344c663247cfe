"""Segmentation of several classes of objects: how well each is found, and which is taken for which.

Of a class the objects of this class alone are matched, truth against segmentation, so that a wrong class costs a missed
object and an invented one; means over classes are of those that have objects (Kirillov et al. 2019, arXiv:1801.00868). The
confusion is of objects matched whatever their class: a wrong class alone is a number beside its diagonal.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jaxdiff.metrics.matching import THRESHOLDS, Counts, count_matches, matching, pool
from jaxdiff.metrics.panoptic import PanopticQuality, panoptic_quality, pool_panoptic

Classes = Mapping[int, str] | Sequence[str]
"""The name of the class of each label; a sequence is that of the labels 1, 2, 3 …"""


class ClassMatches(NamedTuple):
    """Matches of each class of one image or, pooled, of many."""

    names: tuple[str, ...]
    """Of the C classes."""
    counts: tuple[Counts, ...]
    """Of each class."""
    panoptic: tuple[PanopticQuality, ...]
    """Of each class."""
    confusion: Int[np.ndarray, "C+1 C+1"]
    """Objects by their true class (rows) and the one they were given (columns); last column: missed, last row: invented."""

    @property
    def average_precision(self) -> Float[np.ndarray, "C T"]:
        """Of each class at each threshold; NaN for a class without objects on either side."""
        occurs = self.occurs[:, None]
        return np.where(occurs, [counts.average_precision for counts in self.counts], np.nan)

    @property
    def mean_average_precision(self) -> float:
        """The mean of `average_precision` over thresholds and classes with objects; NaN without any."""
        values = self.average_precision[self.occurs]
        return float(values.mean()) if values.size else float("nan")

    @property
    def mean_panoptic_quality(self) -> float:
        """The mean of the classes with objects; NaN without any."""
        values = np.array([quality.pq for quality in self.panoptic])[self.occurs]
        return float(values.mean()) if values.size else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of the matched objects that were given their class; NaN without any."""
        matched = self.confusion[:-1, :-1]
        return float(np.trace(matched) / matched.sum()) if matched.sum() else float("nan")

    @property
    def occurs(self) -> np.ndarray:
        """Of each class, whether there are objects of it in truth or segmentation."""
        return np.array([bool(quality.tp + quality.fp + quality.fn) for quality in self.panoptic])


def match_classes(
    truth: ArrayLike,
    labels: ArrayLike,
    truth_classes: Classes,
    label_classes: Classes,
    *,
    names: Sequence[str],
    thresholds: Sequence[float] = THRESHOLDS,
) -> ClassMatches:
    """The matches of each class of two label images.

    Args:
        truth: (*spatial), 0 = background.
        labels: as `truth`, of the segmentation.
        truth_classes: of the objects in `truth`.
        label_classes: of the objects in `labels`, such as `jd.tasks.segment(...).classes.of_label`.
        names: of all classes.
        thresholds: of IoU, of the counts. The confusion is of objects matched at 0.5.

    Returns:
        Counts and panoptic quality of each class, and the confusion. `pool_classes` adds those of several images.

    Raises:
        ValueError: for different shapes, labels that are no integers >= 0, objects without class or of a class that is not
            among `names`.
    """
    truth, labels, names = np.asarray(truth), np.asarray(labels), tuple(names)
    matched = matching(truth, labels)
    true_kind = _kinds(truth, truth_classes, names, "truth")
    shown_kind = _kinds(labels, label_classes, names, "labels")
    counts, panoptic = [], []
    for number in range(len(names)):
        one, other = (
            np.where(np.isin(mask, [label for label, kind in kinds.items() if kind == number]), mask, 0)
            for mask, kinds in ((truth, true_kind), (labels, shown_kind))
        )
        counts.append(count_matches(one, labels=other, thresholds=thresholds))
        panoptic.append(panoptic_quality(one, labels=other))
    confusion = np.zeros((len(names) + 1,) * 2, int)
    for one, other in zip(matched.truth_ids, matched.label_ids):
        confusion[true_kind[int(one)], shown_kind[int(other)]] += 1
    for label in set(true_kind) - set(matched.truth_ids.tolist()):
        confusion[true_kind[label], -1] += 1
    for label in set(shown_kind) - set(matched.label_ids.tolist()):
        confusion[-1, shown_kind[label]] += 1
    return ClassMatches(names, tuple(counts), tuple(panoptic), confusion)


def pool_classes(images: Iterable[ClassMatches]) -> ClassMatches:
    """The matches of a data set: every object weighs the same. Raises ValueError for none, and for different classes."""
    images = list(images)
    if not images or len({each.names for each in images}) > 1:
        raise ValueError(
            f"got {len(images)} images of {len({each.names for each in images})} lists of classes; expected at least one of "
            "the same; to fix: match_classes(..., names=names) of each"
        )
    return ClassMatches(
        images[0].names,
        tuple(pool(of_class) for of_class in zip(*(each.counts for each in images))),
        tuple(pool_panoptic(of_class) for of_class in zip(*(each.panoptic for each in images))),
        np.sum([each.confusion for each in images], axis=0),
    )


def _kinds(mask: np.ndarray, classes: Classes, names: tuple[str, ...], what: str) -> dict[int, int]:
    """The place of the class of each label among the names."""
    of_label = classes if isinstance(classes, Mapping) else dict(enumerate(classes, 1))
    labels = [int(label) for label in np.unique(mask) if label]
    lacking = [label for label in labels if label not in of_label]
    unknown = sorted({of_label[label] for label in labels if label in of_label} - set(names))
    if lacking or unknown:
        problem = f"of no class: {', '.join(map(str, lacking[:5]))}" if lacking else f"of class {', '.join(unknown)}"
        raise ValueError(
            f"got objects in {what} {problem}; expected each of one of {', '.join(names)}; to fix: {what}_classes of every "
            "label, names of every class".replace("labels_classes", "label_classes")
        )
    return {label: names.index(of_label[label]) for label in labels}
