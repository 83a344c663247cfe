"""The aggregated Jaccard index."""

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.metrics.contingency import contingency


def aji(truth: ArrayLike, labels: ArrayLike) -> float:
    """Aggregated Jaccard index of two label images (*spatial), 0 = background; 1 where both are blank.

    Each true object takes the segmented object of largest IoU with it (the smallest id of several). The index is the
    sum of these intersections over the sum of these unions, of the areas of true objects that overlap nothing and of
    segmented objects that none has taken. As published, one segmented object may be taken by several true ones: it
    then counts in each union, so merged objects cost much.

    Kumar et al. 2017, doi:10.1109/TMI.2017.2677499.

    Raises ValueError for different shapes, or labels that are no integers >= 0.
    """
    table = contingency(truth, labels)
    order = np.lexsort((table.column, -table.iou, table.row))
    rows, first = np.unique(table.row[order], return_index=True)
    best = order[first]
    missed = np.delete(table.truth_area, rows).sum()
    unused = np.delete(table.label_area, np.unique(table.column[best])).sum()
    union = table.union[best].sum() + missed + unused
    return float(table.intersection[best].sum() / union) if union else 1.0
