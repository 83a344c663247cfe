"""Panoptic quality: how many objects are found, times how well they are outlined."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.metrics.contingency import contingency
from jaxdiff.metrics.matching import match


class PanopticQuality(NamedTuple):
    """Quality and the counts it is made of; `pool_panoptic` adds the counts of several images."""

    pq: float
    """sq x rq."""
    sq: float
    """Segmentation quality: mean IoU of matched objects; 0 without a match, 1 without objects."""
    rq: float
    """Recognition quality TP / (TP + FP/2 + FN/2); 1 without objects."""
    iou: float
    """Sum over matched objects."""
    tp: int
    fp: int
    fn: int


def panoptic_quality(truth: ArrayLike, labels: ArrayLike) -> PanopticQuality:
    """Panoptic quality of two label images (*spatial) of one class, 0 = background; matched means IoU > 0.5.

    Kirillov et al. 2019, arXiv:1801.00868. Raises ValueError for different shapes, or labels that are no integers >= 0.
    """
    matched = match(contingency(truth, labels), np.nextafter(0.5, 1))
    return _quality(float(matched.iou.sum()), matched.tp, matched.fp, matched.fn)


def pool_panoptic(images: Iterable[PanopticQuality]) -> PanopticQuality:
    """The quality of a data set, from the sums of its images' counts, as the paper has it. Raises ValueError for none."""
    images = list(images)
    if not images:
        raise ValueError("got no images; expected at least one; to fix: panoptic_quality(truth, labels) of each")
    iou, tp, fp, fn = (sum(getattr(each, name) for each in images) for name in ("iou", "tp", "fp", "fn"))
    return _quality(iou, tp, fp, fn)


def _quality(iou: float, tp: int, fp: int, fn: int) -> PanopticQuality:
    if not tp + fp + fn:
        return PanopticQuality(1.0, 1.0, rq=1.0, iou=iou, tp=tp, fp=fp, fn=fn)
    sq, rq = iou / tp if tp else 0.0, tp / (tp + (fp + fn) / 2)
    return PanopticQuality(sq * rq, sq, rq=rq, iou=iou, tp=tp, fp=fp, fn=fn)
