"""Objects that are in a restored image and not in the truth, and the other way round.

Truth and restored image are segmented alike, and objects matched by IoU (`jaxdiff.metrics.matching`). What has no match in
the truth was invented, what has none in the restored image was missed; an object that was split, joined with another, or
drawn much too large is both. So those that touch no object of the other side at all are counted apart: something where there
is nothing, nothing where there is something.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.metrics.contingency import contingency
from jaxdiff.metrics.matching import check_thresholds, match

DRAWS = 10_000
"""Bootstrap draws."""


class Hallucinations(NamedTuple):
    """Numbers of objects of one image or, pooled, of several images or samples."""

    true: int
    shown: int
    """Objects of the restored image."""
    invented: int
    """Shown objects without a true one."""
    missed: int
    """True objects without a shown one."""
    invented_apart: int
    """Invented ones that touch no true object."""
    missed_apart: int
    """Missed ones that no shown object touches."""


class Rate(NamedTuple):
    """Objects for one true object, and its interval over images."""

    value: float
    low: float
    high: float


class HallucinationRates(NamedTuple):
    """`Hallucinations` of a set for one true object; NaN where there is no true one."""

    invented: Rate
    missed: Rate
    invented_apart: Rate
    missed_apart: Rate


def hallucinations(truth: ArrayLike, labels: ArrayLike, threshold: float = 0.5) -> Hallucinations:
    """What the objects of a restored image have too many and too few, beside those of the truth.

    Both are label images (*spatial), 0 = background, of one segmentation of the true and the restored image. threshold: of
    the IoU at which two objects are one. Raises ValueError for different shapes, labels that are no integers >= 0, or a
    threshold outside (0, 1].

    Example:
        >>> truth = np.array([[1, 1, 0, 2, 2, 0, 0]])
        >>> labels = np.array([[1, 1, 0, 0, 0, 0, 2]])
        >>> hallucinations(truth, labels)
        Hallucinations(true=2, shown=2, invented=1, missed=1, invented_apart=1, missed_apart=1)
    """
    check_thresholds([threshold])
    table = contingency(truth, labels)
    matched = match(table, threshold)
    true, shown = len(table.truth_ids), len(table.label_ids)
    # A pair that overlaps at all is a row of the table; matched objects are among them.
    return Hallucinations(
        true,
        shown,
        invented=matched.fp,
        missed=matched.fn,
        invented_apart=shown - len(np.unique(table.column)),
        missed_apart=true - len(np.unique(table.row)),
    )


def pool_hallucinations(images: Iterable[Hallucinations]) -> Hallucinations:
    """The sums over images, or over the samples of an image. Raises ValueError for none."""
    images = list(images)
    if not images:
        raise ValueError("got no images; expected at least one; to fix: hallucinations(truth, labels) of each")
    return Hallucinations(*(sum(each) for each in zip(*images)))


def hallucination_rates(
    images: Sequence[Hallucinations],
    groups: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> HallucinationRates:
    """Invented and missed objects of a set, for one true object, with intervals of a bootstrap over images.

    Args:
        images: one an image; of several samples of an image their `pool_hallucinations`.
        groups: what an image belongs to (well, patient): images of a group are drawn together. None: each its own.
        level: share of the draws that an interval holds, its ends cut alike.
        draws: sets of as many groups, drawn with replacement (Efron and Tibshirani 1993); those without a true object are
            left out.
        seed: of the draws, which are the same for sets of the same groups.

    Returns:
        The rates. A rate counts objects of all images over true objects of all: images weigh as many objects as they hold.

    Raises:
        ValueError: for no images, other numbers of groups, a level outside (0, 1), and less than one draw.
    """
    total = pool_hallucinations(images)
    groups = [str(i) for i in range(len(images))] if groups is None else list(groups)
    if len(groups) != len(images):
        raise ValueError(f"got {len(groups)} groups of {len(images)} images; expected one each; to fix: groups=None")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"got level={level}, draws={draws}; expected 0 to 1, and 1 or more; to fix: level=0.95")
    names, place = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)[:, place]
    counts = np.array(images, np.float64)
    true = times @ counts[:, Hallucinations._fields.index("true")]
    rates = []
    for name in HallucinationRates._fields:
        some = times @ counts[:, Hallucinations._fields.index(name)]
        drawn = some[true > 0] / true[true > 0]
        ends = np.quantile(drawn, (0.5 - level / 2, 0.5 + level / 2)) if drawn.size else (np.nan, np.nan)
        value = getattr(total, name) / total.true if total.true else np.nan
        rates.append(Rate(float(value), *map(float, ends)))
    return HallucinationRates(*rates)
