"""Does an image processed in windows show where they join?

The median |difference| of neighbouring pixels is taken across all lines that are equally far behind a window border:
one number for each phase of the window period, for each axis. In an image without seams phase 0, the borders, is a
phase like any other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import special

from jaxdiff.metrics.paired import finite


class Seams(NamedTuple):
    """The borders against all other phases, for each of the A axes that have windows."""

    axes: Int[np.ndarray, " A"]
    border: Float[np.ndarray, " A"]
    """Median |difference| across borders, in units of the image."""
    others: tuple[Float[np.ndarray, " phases"], ...]
    """The same at phases 1 .. period − 1, one array an axis."""
    quantile: Float[np.ndarray, " A"]
    """Share of the other phases below the border, ties half; 0 or 1 = the border is outside all of them."""
    p_value: Float[np.ndarray, " A"]
    """Of a two-sided t-test that the border is one more draw from the others."""


def seam_statistic(image: ArrayLike, period: int | Sequence[int | None], start: int | Sequence[int] = 0) -> Seams:
    """The statistic of an image (*spatial, C), for windows that begin at start, start + period, … (pixels).

    A border lies between pixels start + k period − 1 and start + k period. Overlapping windows also end somewhere:
    call again with `start` at an end. One number serves all axes; None as the period leaves an axis out that one
    window spans. Of each axis the middle that holds whole periods is used, so that all phases are medians of equally
    many lines. Use the image before rounding: whole numbers tie.

    Raises ValueError for a period below 3, an axis without a border or without a whole period, or other shapes.
    """
    values = finite(image, "image")
    spatial = values.ndim - 1
    periods = (period,) * spatial if isinstance(period, int | np.integer) else tuple(period)
    starts = (start,) * spatial if isinstance(start, int | np.integer) else tuple(start)
    if spatial < 1 or len(periods) != spatial or len(starts) != spatial:
        raise ValueError(
            f"got an image of shape {values.shape}, period {period} and start {start}; expected (*spatial, channels) "
            "and one number, or one a spatial axis; to fix: image[..., None] adds a channel"
        )
    by_axis = [_phases(values, axis, p, s) for axis, (p, s) in enumerate(zip(periods, starts)) if p is not None]
    if not by_axis:
        raise ValueError(f"got period {period}; expected windows along at least one axis; to fix: give their period")
    border = np.array([phases[0] for phases in by_axis])
    others = tuple(phases[1:] for phases in by_axis)
    below = [np.mean(o < b) + np.mean(o == b) / 2 for b, o in zip(border, others)]
    chance = [_p_value(b, o) for b, o in zip(border, others)]
    axes = np.array([axis for axis, p in enumerate(periods) if p is not None])
    return Seams(axes, border, others, np.array(below), np.array(chance))


def has_seam(seams: Seams, level: float = 1e-3) -> bool:
    """Whether along any axis the borders lie outside all other phases, and further than chance explains.

    Being outside alone happens by chance in 2 of `period` images along each axis. `level` is the share of images
    without seams that may be called seamed, all axes together, if phases were independent and normal.
    """
    outside = (seams.quantile == 0) | (seams.quantile == 1)
    return bool(np.any(outside & (seams.p_value < level / len(seams.axes))))


def _phases(values: np.ndarray, axis: int, period: int, start: int) -> np.ndarray:
    """Median |difference| at each phase behind a border, (period,)."""
    difference = np.abs(np.diff(values, axis=axis))
    lines = difference.shape[axis]
    if period < 3 or lines < period:
        raise ValueError(
            f"got period {period} along axis {axis} of {lines + 1} pixels; expected 3 to {lines}; "
            "to fix: None as the period of an axis that one window spans"
        )
    used = lines // period * period  # so that every phase is a median of equally many lines
    first = (lines - used) // 2
    difference = np.moveaxis(difference, axis, 0)[first : first + used]
    phase = (np.arange(used) + first + 1 - start) % period  # difference i lies before pixel i + 1
    return np.array([np.median(difference[phase == p]) for p in range(period)])


def _p_value(border: float, others: np.ndarray) -> float:
    """That one more draw from a normal distribution is this far from the mean of the others."""
    distance, spread = abs(border - others.mean()), others.std(ddof=1)
    if spread == 0:
        return 1.0 if distance == 0 else 0.0
    n = len(others)
    return float(2 * special.stdtr(n - 1, -distance / (spread * np.sqrt(1 + 1 / n))))
