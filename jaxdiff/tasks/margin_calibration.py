"""Margins around a segmentation that hold what they promise, on average over images: a region inside, and one outside.

With d the mean signed distance of K samples, in pixels, above 0 inside,

    outer = {d ≥ −t}   loses, of an image, the share of the true foreground that lies beyond it
    inner = {d > t}    loses the false pixels in it over the number of truly foreground ones, 1 at most

and the margins t ≥ 0 come from held-out images (`jaxdiff.tasks.risk_control`; prediction sets for segmentation: Bates,
Angelopoulos, Lei, Malik, Jordan 2021, arXiv:2101.02703). An image without true foreground loses nothing by `outer`, and 1 by
an `inner` of one pixel or more. Of a model of one size of objects a margin is in the pixels of that size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from jaxdiff.malformed import malformed
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.interval_calibration import USUAL
from jaxdiff.tasks.risk_control import LEAST, Loss, RiskControl, highest_percent
from jaxdiff.tasks.run_calibration import (
    RunCalibration,
    about,
    check_factors,
    sampling_settings,
    with_truths,
)
from jaxdiff.tasks.sampled import check_task
from jaxdiff.tasks.seen import object_size_of
from jaxdiff.tasks.segment import Segmented, check_diameter, segment


class Regions(NamedTuple):
    """The least and the most that an image's foreground may be."""

    inner: Bool[np.ndarray, "*spatial"]
    outer: Bool[np.ndarray, "*spatial"]


@dataclass(frozen=True, kw_only=True)
class MarginCalibration(RunCalibration):
    """Margins of a model's segmentation; made by `calibrate_margins`."""

    outer: tuple[float, ...]
    """t of `outer` in pixels, for coverages of 0.50, 0.51, … as far as the images allow."""
    inner: tuple[float, ...]
    """t of `inner`."""
    diameter: float | None = None
    """Pixels of the objects in whose pixels margins are, of a model of one size."""
    outer_coverage: float
    """Mean over images of the share of the true foreground in `outer` at `percent`, by the margin that all others ask for."""
    inner_purity: float
    """1 − the mean loss of `inner`, likewise."""
    outer_before: float
    """The same of margin 0: of {d ≥ 0}."""
    inner_before: float
    """Of {d > 0}."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("outer_coverage", "inner_purity", "outer_before", "inner_before"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise malformed(name, value, "0 to 1", "calibrate anew")
        if self.diameter is not None and not 0 < self.diameter < 1e30:
            raise malformed("diameter", self.diameter, "pixels, above 0", "calibrate anew")
        check_factors("outer", self.outer, self.images)
        check_factors("inner", self.inner, self.images)

    @property
    def factors_by_coverage(self) -> tuple[tuple[float, ...], ...]:
        return self.outer, self.inner

    def in_all(self, images: int) -> int:
        """Held-out images, at least, of which so many are left for the guarantee: it is over all of them."""
        return images

    @property
    def guarantee(self) -> str:
        """What holds, in a sentence."""
        return (
            f"over new images from where these {self.images} came, on average at least the coverage of an image's true "
            "foreground lies in the outer region, and the false pixels in the inner one are at most 1 − coverage of the true "
            "foreground's number; one image may do worse"
        )

    def regions(self, result: Segmented, coverage: float = 0.9) -> Regions:
        """The regions of a segmentation by the same settings. Raises ValueError for a coverage that the images of the
        calibration do not allow, and for a result of a model of another kind of size."""
        outer, inner = (self.factor_of(margins, coverage) for margins in (self.outer, self.inner))
        distance = _in_model_pixels(result, self.diameter)
        return Regions(distance > inner, distance >= -outer)


def calibrate_margins(
    key: PRNGKeyArray,
    model: Model,
    images: Iterable[Float[np.ndarray, "*spatial channels"]],
    labels: Iterable[Int[np.ndarray, "*spatial"]],
    samples: int = 8,
    *,
    calls: int = 4,
    solver: Any = None,
    posterior_std: float = 1.0,
    diameter: float | None = None,
) -> MarginCalibration:
    """How far around and inside its outlines a model's segmentation is sure, from images that were not trained on.

    Args:
        key: image i depends on (key, i).
        model: trained to segment.
        images: each (*spatial, C), data units, none of them blank; they and the labels are taken one at a time.
        labels: instances, or 0 and 1; 0 is the background.
        samples: of each, as many as the task will be used with.
        calls: network calls of each, as in use.
        solver: as in use.
        posterior_std: as in use.
        diameter: median of the objects of all images, in pixels, for a model of one size; none: estimated from each image.
            The calibration is for results whose diameters are given or estimated alike.

    Returns:
        The calibration of these settings and this checkpoint; `save(run)` leaves it where `sample.py segment` looks.

    Raises:
        ValueError: for what `segment` refuses, blank images, more images than labels or fewer, labels of another shape, and
            fewer than two images or samples.
    """
    check_key(key)
    check_task(model, "segment")
    settings = margin_settings(model, samples, calls, solver, posterior_std, given=diameter is not None)
    size = object_size_of(model)
    check_diameter(diameter, size)
    how = {"calls": calls, "solver": solver, "posterior_std": posterior_std, "diameter": diameter}

    def pairs():
        for own, image, truth in with_truths(key, model, images, labels):
            yield segment(own, model, image, samples, **how), truth

    return fitted_margins(pairs(), diameter=size and size.diameter, **about(model, "segment", settings))


def margin_settings(
    model: Model, samples: int, calls: int, solver: Any, posterior_std: float, *, given: bool
) -> dict[str, Any]:
    """The settings of a calibration of `segment`. given: whether diameters are, for a model of one size of objects."""
    further = {} if object_size_of(model) is None else {"diameter": "given" if given else "estimated"}
    return sampling_settings(model, samples, calls, solver, posterior_std=posterior_std, **further)


def fitted_margins(
    pairs: Iterable[tuple[Segmented, Int[np.ndarray, "*spatial"]]], *, diameter: float | None = None, **of: Any
) -> MarginCalibration:
    """The calibration of segmentations and true labels of held-out images.

    pairs: taken one at a time; only a summary of each is kept. diameter: of a model of one size. of: `task`, `settings`,
    `checkpoint`, `parameters`. Raises ValueError for fewer than two images, and labels of another shape or type.
    """
    outer, inner = [], []
    for result, labels in pairs:
        distance, truth = _in_model_pixels(result, diameter), _foreground(labels, result.distance.shape)
        if not np.isfinite(distance).all():
            raise ValueError("got a distance with NaN or infinite pixels; expected finite ones; to fix: another solver")
        outer.append(Loss.of(-distance[truth]))
        inner.append(Loss.of(distance[~truth], size=max(1, int(truth.sum()))))
    if len(outer) < 2:
        raise ValueError(f"got {len(outer)} images; expected 2, better 20 or more; to fix: hold more images out")
    percents = range(LEAST, highest_percent(len(outer)) + 1)
    controls = RiskControl(outer), RiskControl(inner)
    margins = [tuple(control.smallest(percent) for percent in percents) for control in controls]
    percent = min(USUAL, highest_percent(len(outer) - 1))
    return MarginCalibration(
        images=len(outer),
        percent=percent,
        outer=margins[0],
        inner=margins[1],
        diameter=diameter,
        outer_coverage=controls[0].held_out(percent),
        inner_purity=controls[1].held_out(percent),
        outer_before=1 - float(np.mean([loss.at(0.0) for loss in outer])),
        inner_before=1 - float(np.mean([loss.at(0.0) for loss in inner])),
        **of,
    )


def _foreground(labels: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "*spatial"]:
    values = np.asarray(labels)
    if values.dtype.kind == "i" and (values < 0).any():
        raise ValueError(
            f"got labels from {values.min()} on; expected 0 for the background and numbers above it; to fix: leave out "
            "images of which a part is not labelled"
        )
    if values.shape != shape or values.dtype.kind not in "uib":
        raise ValueError(
            f"got labels of shape {values.shape} and type {values.dtype} for an image of {shape}; expected an integer for "
            "each pixel; to fix: the mask of this image, 0 the background"
        )
    return values != 0


def _in_model_pixels(result: Segmented, diameter: float | None) -> Float[np.ndarray, "*spatial"]:
    """The distance in the pixels of the model's size of objects, where it has one."""
    distance = result.distance.astype(np.float64)
    if diameter is None or result.diameter is None:
        return distance
    return distance * (diameter / result.diameter)
