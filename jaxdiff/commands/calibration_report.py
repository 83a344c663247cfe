"""What a calibration is, in lines for the terminal: before and now, its factors, what is promised, and what that costs."""

import numpy as np

from jaxdiff.tasks.interval_calibration import USUAL, IntervalCalibration, expected_factor
from jaxdiff.tasks.margin_calibration import MarginCalibration
from jaxdiff.tasks.risk_control import LEAST

DEAR = 2.0
"""Percent of coverage more than asked for, from which on it is said: coverage/n of n images."""


def report(result: IntervalCalibration | MarginCalibration, truncation: float = np.inf) -> list[str]:
    """The lines. truncation: pixels of the model at which its distances end, of margins."""
    if isinstance(result, MarginCalibration):
        lines = [*_of_margins(result), *_without_sense(result, truncation)]
    else:
        lines = _of_intervals(result)
    lines.append(f"guarantee: {result.guarantee}")
    if (price := result.percent / result.images) > DEAR:
        lines.append(
            f"the guarantee costs {price:.0f} % with {result.images} images, by which intervals hold more than asked for; "
            f"to fix: {result.in_all(round(USUAL / DEAR))} images or more cost {DEAR:.0f} % or less"
        )
    return lines


def _of_intervals(result: IntervalCalibration) -> list[str]:
    floor = f", floor {result.floor:.3g}" if result.floor_images else ", no floor, for which there are too few images"
    factor = result.factors[result.percent - LEAST]
    return [
        f"before: {100 * result.covered:.1f} % of true pixels lie between the least and the greatest of "
        f"{result.settings['samples']} samples ({100 * result.nominal:.1f} % if the truth were one more)",
        f"now: {100 * result.coverage:.1f} % lie in the intervals for {result.percent} %, of each image by the factor of all "
        "others",
        f"factor {factor:.3g} of the samples' standard deviation "
        f"({expected_factor(result.settings['samples'], result.percent):.3g} where spread is as it should be){floor}"
        + (f", chosen on {result.floor_images} more images" if result.floor_images else ""),
    ]


def _of_margins(result: MarginCalibration) -> list[str]:
    outer, inner = (margins[result.percent - LEAST] for margins in (result.outer, result.inner))
    of_size = "" if result.diameter is None else f" of objects of {result.diameter:g}"
    return [
        f"before: {100 * result.outer_before:.1f} % of the true foreground lie in the segmentation, and false pixels are "
        f"{100 * (1 - result.inner_before):.1f} % of its number",
        f"now: {100 * result.outer_coverage:.1f} % lie in the outer region for {result.percent} %, and false pixels of the "
        f"inner one are {100 * (1 - result.inner_purity):.1f} %, of each image by the margins of all others",
        f"margins {outer:.3g} pixels outside and {inner:.3g} inside{of_size}",
    ]


def _without_sense(result: MarginCalibration, truncation: float) -> list[str]:
    """From which coverage on the regions say nothing, as the distance ends before the margin."""
    lines = []
    for name, margins, region in (("outer", result.outer, "the whole image"), ("inner", result.inner, "nothing")):
        beyond = [LEAST + i for i, margin in enumerate(margins) if margin > truncation - 0.5]
        if beyond:
            lines.append(
                f"from --coverage {beyond[0] / 100:g} on the {name} region is {region}, nearly: margins reach {truncation:g} "
                "pixels, where the distance ends; objects are missed or made up, or images are too few"
            )
    return lines
