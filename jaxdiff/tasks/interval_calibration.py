"""Intervals around an estimated image that hold the share of the true pixels that they promise, on average over images.

The interval of a pixel is image ± q (std + floor · s), with s the root mean square of std over the image, channel by channel:
a pixel's score is |truth − image| over what q is multiplied with, an image's loss the share of its pixels whose score is
greater than q, and q comes from held-out images (`jaxdiff.tasks.risk_control`). The floor is for pixels where the samples
agree more than they should, and for the truth's own noise; it is a share of the image's own spread, so that gain and units
leave no trace. It is the one of narrowest intervals on a part of the images, q is of the others: the guarantee stands.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from jaxdiff.malformed import malformed
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.risk_control import LEAST, Loss, RiskControl, highest_percent, images_for
from jaxdiff.tasks.run_calibration import RunCalibration, check_factors

FLOORS = (0.0, *(2.0**power for power in range(-5, 6)))
USUAL = 90
"""Coverage in percent for which the floor is chosen, and which is tried."""
FOR_FLOOR = 20
"""Images that the floor is chosen on, at most: it is one number."""


class Interval(NamedTuple):
    """Between which values the truth lies, data units, float32."""

    low: Float[np.ndarray, "*spatial channels"]
    high: Float[np.ndarray, "*spatial channels"]


@dataclass(frozen=True, kw_only=True)
class IntervalCalibration(RunCalibration):
    """Factors for the spread of a task's samples; made by `calibrate_intervals` or `fitted_intervals`."""

    floor: float
    """Added to each pixel's std, in root mean squares of std over the image."""
    floor_images: int
    """Held-out images that it was chosen on, beside `images`; 0 where there were too few, and the floor is 0."""
    factors: tuple[float, ...]
    """q for coverages of 0.50, 0.51, … as far as the images allow."""
    coverage: float
    """Mean over images of what they cover at `percent` by the factor that all others ask for."""
    nominal: float
    """Share that lies between the least and the greatest of the samples where the truth is as one more of them."""
    covered: float
    """Share of true pixels that does: what the samples promise before any calibration."""

    def __post_init__(self):
        super().__post_init__()
        for name, high in (("floor", FLOORS[-1]), ("coverage", 1), ("nominal", 1), ("covered", 1)):
            if not 0 <= (value := getattr(self, name)) <= high:
                raise malformed(name, value, f"0 to {high:g}", "calibrate anew")
        if not 0 <= self.floor_images < 2**62:
            raise malformed("floor_images", self.floor_images, "0 or more", "calibrate anew")
        check_factors("factors", self.factors, self.images)

    @property
    def factors_by_coverage(self) -> tuple[tuple[float, ...], ...]:
        return (self.factors,)

    def in_all(self, images: int) -> int:
        """Held-out images, at least, of which so many are left for the guarantee: on others the floor is chosen."""
        return next(n for n in itertools.count(images) if len(floor_part(n)[1]) >= images)

    @property
    def guarantee(self) -> str:
        """What holds, in a sentence."""
        return (
            f"over new images from where these {self.images} came, on average at least the coverage of an image's pixels "
            "lies in the interval; one image may have less"
        )

    def interval(self, estimate: Estimate, coverage: float = 0.9) -> Interval:
        """The interval of every pixel of an estimate by the same settings.

        Args:
            estimate: with two samples or more.
            coverage: share of the true pixels of an image that lies in it, on average over images.

        Returns:
            Low and high ends, of the estimate's shape and units.

        Raises:
            ValueError: for a coverage that the images of the calibration do not allow, and for one sample.
        """
        q = self.factor_of(self.factors, coverage)
        if len(estimate.samples) < 2:
            raise ValueError("got one sample, which has no spread; expected two or more; to fix: samples=8")
        half = q * _widened(estimate, self.floor)
        return Interval((estimate.image - half).astype(np.float32), (estimate.image + half).astype(np.float32))


class Scored(NamedTuple):
    """What is kept of a held-out image: for each of `FLOORS` its loss, and the mean width for q = 1."""

    losses: tuple[Loss, ...]
    widths: tuple[float, ...]
    covered: float
    """Share of pixels between the least and the greatest sample."""
    samples: int


def scored(estimate: Estimate, truth: Float[np.ndarray, "*spatial channels"]) -> Scored:
    """What is kept of an estimate and its truth. Raises ValueError for another shape, and pixels that are not finite."""
    truth = np.asarray(truth)
    if truth.shape != estimate.image.shape:
        raise ValueError(
            f"got a truth of shape {truth.shape} for an estimate of {estimate.image.shape}; expected the same; to fix: the "
            "image behind this one, on its pixels"
        )
    if not np.isfinite(truth).all():
        raise ValueError("got a truth with NaN or infinite pixels; expected finite ones; to fix: repair it")
    if len(estimate.samples) < 2:
        raise ValueError("got one sample, which has no spread; expected two or more; to fix: samples=8")
    if not (np.isfinite(estimate.image).all() and np.isfinite(estimate.std).all()):
        raise ValueError("got an estimate with NaN or infinite pixels; expected finite ones; to fix: another solver")
    error = np.abs(truth.astype(np.float64) - estimate.image)
    losses, widths = [], []
    for floor in FLOORS:
        half = _widened(estimate, floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            losses.append(Loss.of(np.where(error == 0, 0, error / half)))
        widths.append(float(half.mean()))
    low, high = estimate.samples[0].copy(), estimate.samples[0].copy()
    for sample in estimate.samples[1:]:
        np.minimum(low, sample, out=low)
        np.maximum(high, sample, out=high)
    covered = float(np.mean((low <= truth) & (truth <= high)))
    return Scored(tuple(losses), tuple(widths), covered, len(estimate.samples))


def fitted_intervals(
    pairs: Iterable[tuple[Estimate, Float[np.ndarray, "*spatial channels"]]], **of: Any
) -> IntervalCalibration:
    """The calibration of estimates and truths of held-out images, any of a person's own tasks among them.

    pairs: taken one at a time; only a summary of each is kept. of: `task`, `settings`, `checkpoint`, `parameters`.
    Raises ValueError for fewer than two images, truths of other shapes or not finite, and samples that agree on something
    else than the truth in half of all pixels.
    """
    return of_scored([scored(estimate, truth) for estimate, truth in pairs], **of)


def of_scored(images: list[Scored], **of: Any) -> IntervalCalibration:
    """The calibration of what was kept of held-out images, in their order."""
    if len(images) < 2:
        raise ValueError(f"got {len(images)} images; expected 2, better 20 or more; to fix: hold more images out")
    chosen, others = floor_part(len(images))
    index = 0 if not chosen else _narrowest([images[i] for i in chosen])
    losses = [images[i].losses[index] for i in others]
    control = RiskControl(losses)
    factors: list[float] = []
    for percent in range(LEAST, highest_percent(len(losses)) + 1):
        if not np.isfinite(q := control.smallest(percent)):
            break
        factors.append(q)
    if not factors:
        raise ValueError(
            "got samples that all agree where the truth is another, in half of all pixels; expected some spread; to fix: "
            "more samples, or are these the truths of these images?"
        )
    percent = min(USUAL, highest_percent(len(losses) - 1), LEAST + len(factors) - 1)
    return IntervalCalibration(
        images=len(losses),
        percent=percent,
        floor=FLOORS[index],
        floor_images=len(chosen),
        factors=tuple(factors),
        coverage=control.held_out(percent),
        nominal=(images[0].samples - 1) / (images[0].samples + 1),
        covered=float(np.mean([image.covered for image in images])),
        **of,
    )


def floor_part(images: int) -> tuple[list[int], list[int]]:
    """Numbers of the images that the floor is chosen on, evenly among all, and of the others; none where a coverage of
    `USUAL` percent needs all."""
    number = max(0, min(images // 3, images - images_for(USUAL), FOR_FLOOR))
    chosen = [(2 * i + 1) * images // (2 * number) for i in range(number)]
    return chosen, [i for i in range(images) if i not in set(chosen)]


def expected_factor(samples: int, percent: int) -> float:
    """q of Gaussian pixels whose truth is as one more of the samples: Student's t, for the mean of K samples."""
    quantile: Any = special.stdtrit(samples - 1, 0.5 + percent / 200)
    return float(quantile) * (1 + 1 / samples) ** 0.5


def _narrowest(images: list[Scored]) -> int:
    """Of `FLOORS` the one whose intervals are narrowest where all images together are covered as usual."""
    sizes = []
    for index in range(len(FLOORS)):
        control = RiskControl([image.losses[index] for image in images])
        widths = np.log([max(image.widths[index], np.finfo(float).tiny) for image in images])
        sizes.append(np.log(max(control.plain(USUAL), np.finfo(float).tiny)) + widths.mean())
    return int(np.argmin(sizes))


def _widened(estimate: Estimate, floor: float) -> Float[np.ndarray, "*spatial channels"]:
    """std + floor · s, float64."""
    std = estimate.std.astype(np.float64)
    return std + floor * np.sqrt(np.mean(std**2, axis=tuple(range(std.ndim - 1))))
