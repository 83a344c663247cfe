"""Scores of one field, and their means over fields with the interval of a bootstrap over wells."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.evidence.distances import bootstrap_weights
from benchmarks.tasks.fields import Field
from jaxdiff.metrics import (
    aji,
    average_precision,
    dice,
    mean_average_precision,
    panoptic_quality,
    psnr,
    ssim,
)

DRAWS = 10_000
"""Bootstrap draws."""
SEED = 0
RATIOS: dict[str, tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = {
    "nrmse": ("square_error", "square_light", np.sqrt),
    "bias_percent": ("excess", "light", lambda share: 100 * share),
    "nuclei_bias_percent": ("nuclei_excess", "nuclei_light", lambda share: 100 * share),
}
"""Scores of a set that come from the ratio of two sums over its fields: that of a field without nuclei says nothing."""

Row = dict[str, float]
Interval = dict[str, float]


def segmentation(field: Field, labels: np.ndarray) -> Row:
    """Of labels (Y, X), 0 = background. A field without nuclei in which none is found scores 1, else 0."""
    return {
        "ap50": float(average_precision(field.mask, labels=labels)[0]),
        "ap": mean_average_precision(field.mask, labels=labels),
        "aji": aji(field.mask, labels=labels),
        "pq": panoptic_quality(field.mask, labels=labels).pq,
        "dice": dice(field.mask, labels),
    }


def denoising(field: Field, image: np.ndarray, offset: float, data_range: float) -> Row:
    """Of a denoised image (Y, X) in grey levels.

    Light is what is above the offset, excess what is too much of it; their means over the pixels of the field, and of
    its nuclei, are what the `RATIOS` of a set are made of.
    """
    truth, got = field.image.astype(np.float64), image.astype(np.float64)
    light, excess, nuclei = truth - offset, got - truth, field.mask > 0
    means = {
        "square_error": excess**2,
        "square_light": light**2,
        "excess": excess,
        "light": light,
        "nuclei_excess": excess * nuclei,
        "nuclei_light": light * nuclei,
    }
    return {
        "psnr": psnr(truth, got, data_range),
        "ssim": ssim(truth[..., None], got[..., None], data_range),
        **{name: float(np.mean(values)) for name, values in means.items()},
    }


def summary(rows: Sequence[Row], wells: Sequence[str]) -> dict[str, Interval]:
    """{score: {"mean", "low", "high"}}: means over fields, 95 % intervals of `DRAWS` draws of wells.

    The draws depend on the wells alone: they are the same for all methods.
    """
    draws = _draws(rows, wells)
    return {name: _interval(values) for name, values in draws.items()}


def ahead(rows: Sequence[Row], others: Sequence[Row], wells: Sequence[str]) -> dict[str, Interval]:
    """`summary` of the differences, the first method minus the second on the same fields."""
    ours, theirs = _draws(rows, wells), _draws(others, wells)
    return {name: _interval(ours[name] - theirs[name]) for name in ours}


def _draws(rows: Sequence[Row], wells: Sequence[str]) -> dict[str, np.ndarray]:
    """The score of the whole set, then that of each draw: (1 + DRAWS,) a score."""
    weights = bootstrap_weights(np.array(wells), DRAWS, np.random.default_rng(SEED))
    columns: Mapping[str, np.ndarray] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    ratios = {name: ratio for name, ratio in RATIOS.items() if ratio[0] in columns}
    parts = {part for ratio in ratios.values() for part in ratio[:2]}
    result = {name: weights @ values / weights.sum(axis=1) for name, values in columns.items() if name not in parts}
    for name, (above, below, form) in ratios.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            result[name] = form((weights @ columns[above]) / (weights @ columns[below]))
    return result


def _interval(values: np.ndarray) -> Interval:
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}
