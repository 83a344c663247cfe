"""Calibration of a model's intervals on held-out images and their truths."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.model import Model
from jaxdiff.parts import is_ours
from jaxdiff.seeds import check_key
from jaxdiff.tasks.denoise import denoise
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.interval_calibration import IntervalCalibration, fitted_intervals
from jaxdiff.tasks.run_calibration import about, sampling_settings, with_truths
from jaxdiff.tasks.sampled import with_channels
from jaxdiff.tasks.super_resolve import super_resolve
from jaxdiff.tasks.translate import translate

TASKS: Mapping[str, Callable[..., Estimate]] = {
    "denoise": denoise,
    "super-resolve": super_resolve,
    "translate": translate,
}
"""Of models that are trained on pairs."""


def calibrate_intervals(
    key: PRNGKeyArray,
    model: Model,
    images: Iterable[Float[np.ndarray, "*spatial channels"]],
    truths: Iterable[Float[np.ndarray, "*fine channels"]],
    samples: int = 8,
    **options: Any,
) -> IntervalCalibration:
    """How much wider than their samples' spread intervals must be to hold the truth, from images that were not trained on.

    Args:
        key: image i depends on (key, i).
        model: trained to denoise, super-resolve or translate.
        images: each (*spatial, C), data units, none of them blank; they and the truths are taken one at a time.
        truths: what `model` estimates of each, on the pixels and in the units of the estimate.
        samples: of each, as many as the task will be used with.
        options: of the task's function (`calls`, `solver`, …), as it will be used.

    Returns:
        The calibration of these settings and this checkpoint; `save(run)` leaves it where `sample.py` looks for it.

    Raises:
        ValueError: for a model or images that the task refuses, blank images, more images than truths or fewer, truths of
            another shape, fewer than two images or samples.
    """
    check_key(key)
    task = task_of(model)
    function = TASKS[task]
    settings = task_settings(model, function, samples, **options)

    def pairs():
        for own, image, truth in with_truths(key, model, images, truths):
            yield function(own, model, image, samples, **options), with_channels(truth, model.info)

    return fitted_intervals(pairs(), **about(model, task, settings))


def task_of(model: Model) -> str:
    """The task whose intervals a model's are. Raises ValueError for a model that is trained for none of them."""
    trained = "generate" if model.pairing is None else model.pairing.pairs.task
    if trained not in TASKS:
        if model.pairing is not None and model.pairing.inputs is not None and not is_ours(type(model.pairing.pairs)):
            return "translate"  # as of a person's own pairs
        raise ValueError(
            f"got a model trained to {trained}; expected one to {', '.join(TASKS)}; to fix: a run of such pairs"
        )
    return trained


def task_settings(model: Model, task: Callable[..., Estimate], samples: int, **options: Any) -> dict[str, Any]:
    """The settings of a calibration of `task` with these options, its defaults for the others."""
    keywords = [one for one in inspect.signature(task).parameters.values() if one.kind is one.KEYWORD_ONLY]
    values = {one.name: one.default for one in keywords} | options
    return sampling_settings(model, samples, **values)
