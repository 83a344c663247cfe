"""Labelled generation: new images together with the instance masks and classes that belong to them."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from jaxdiff.data.files.labels import checked_labels
from jaxdiff.data.pairs import Joint, LabelledGeneration, signed_distance
from jaxdiff.guidance import Guidance
from jaxdiff.model import Model
from jaxdiff.process import grids
from jaxdiff.seeds import check_key
from jaxdiff.tasks.instances import instances
from jaxdiff.tasks.sampled import check_task, sampled, with_channels
from jaxdiff.tasks.scale import say_scale

START = "start image"
"""What a warning of a start image begins with, before its number."""


class Labelled(NamedTuple):
    """A training set: images in the data's units, instance masks, and classes."""

    images: Float[np.ndarray, "num *spatial channels"]
    masks: Int[np.ndarray, "num *spatial"]
    labels: Int[np.ndarray, " num"] | None
    """Class of each image; None where the model knows none."""


def generate_labelled(
    key: PRNGKeyArray,
    model: Model,
    masks: Int[np.ndarray, "num *spatial"] | None = None,
    *,
    num: int | None = None,
    labels: Any = None,
    calls: int | None = None,
    solver: Any = None,
    guidance: float | Guidance = 1.0,
    start: Float[np.ndarray, "num *spatial channels"] | None = None,
    start_lam: float = -1.0,
    dynamic: float = 2.5,
    least: int = 20,
) -> Labelled:
    """New images with their masks.

    Args:
        key: of the images.
        model: trained with `LabelledGeneration` or `Joint`.
        masks: instance labels of any size, for a model trained with `LabelledGeneration`; a model trained with `Joint` makes
            its own.
        num: of images, for `Joint`.
        labels: class of all images or of each, where the model knows classes.
        calls: network calls of each image; default as in `Model.sample`.
        solver: default as in `Model.sample`.
        guidance: towards masks and classes, 1 for none.
        start: real images to vary, (num, *spatial, C) in data units: noise is added up to λ = start_lam and taken off again,
            so that what is coarser than the noise stays (SDEdit, Meng et al. 2022, arXiv 2108.01073); of a `Joint` model with
            their masks.
        start_lam: λ up to which noise is added.
        dynamic: see `jaxdiff.tasks.instances`, for `Joint`.
        least: see `jaxdiff.tasks.instances`, for `Joint`.

    Returns:
        Images in data units, with masks and labels.

    Raises:
        ValueError: for masks that are not integers or of another rank, start images that do not fit them, classes that the
            model does not have, and for a model trained for something else.
    """
    check_key(key)
    check_task(model, "generate")
    pairs = None if model.pairing is None else model.pairing.pairs
    if not isinstance(pairs, Joint | LabelledGeneration):
        raise ValueError(
            "got a model that was trained on images alone; expected pairs=LabelledGeneration() or Joint(); to fix: "
            "model.sample, or train such a config"
        )
    distance = None if masks is None else _distances(masks, len(model.shape) - 1, pairs.truncation)
    count = _number(pairs, distance, num, start)
    size = model.shape[:-1] if distance is None else distance.shape[1:-1]
    calls = model.calls_of(solver) if calls is None else calls
    grid = model.grid(calls, solver)
    inputs = None if distance is None or isinstance(pairs, Joint) else model.inputs.normaliser.forward(distance)
    state = None
    if start is not None:
        grid = _grid(model, calls, start_lam, getattr(model.solver if solver is None else solver, "reads_span", False))
        state = _state(model, pairs, start, distance)
    images = sampled(
        key,
        model,
        count,
        size,
        grid=grid,
        inputs=inputs,
        labels=None if (cond := model.condition(count, labels)) is None else cond["label"],
        start=state,
        solver=solver,
        guidance=guidance if isinstance(guidance, Guidance) else Guidance(guidance),
    )
    if isinstance(pairs, Joint):
        images, distances = images[..., :-1], images[..., -1]
        masks = np.stack([instances(one, dynamic=dynamic, least=least) for one in distances])
    labels = None if labels is None else np.broadcast_to(np.asarray(labels, np.int32), (count,))
    return Labelled(images, np.asarray(masks, np.int32), labels)


def _distances(masks: Any, rank: int, truncation: float) -> np.ndarray:
    shapes = sorted({np.shape(mask) for mask in masks})
    if len(shapes) != 1 or len(shapes[0]) != rank or 0 in shapes[0]:
        raise ValueError(
            f"got masks of shapes {', '.join(map(str, shapes)) or '()'}; expected (num, {'z, ' * (rank == 3)}y, x), all of "
            "one size; to fix: a list of masks without channels, and one call for each size"
        )
    labels = checked_labels(masks, "masks")
    if labels.max() > np.iinfo(np.int32).max:
        raise ValueError(f"got labels up to {labels.max()}; expected 31 bits; to fix: number the objects 1, 2, 3 …")
    return np.stack([signed_distance(mask, truncation) for mask in labels.astype(np.int32)])[..., None]


def _grid(model: Model, calls: int, start_lam: float, means: bool) -> np.ndarray:
    """From `start_lam` to where `calls` calls end. means: over steps, the last of which leads on to the clean end."""
    first, last = model.schedule.lam_min, model.schedule.lam_max
    if not means:
        last = grids.default_end(model.schedule, calls)
    if not first <= start_lam < last:
        raise ValueError(
            f"got start_lam={start_lam:g}; expected from {first:.3g}, nothing but noise, to below {last:.3g}, where {calls} "
            "calls end; to fix: a smaller start_lam, or more calls"
        )
    return (grids.flow_time if means else grids.uniform_lam)(model.schedule, calls, lam_min=start_lam)


def _number(pairs: Any, distance: np.ndarray | None, num: int | None, start: Any) -> int:
    if isinstance(pairs, LabelledGeneration) and distance is None:
        raise ValueError("got no masks for a model that makes images of given masks; expected them; to fix: masks=...")
    if isinstance(pairs, Joint) and (distance is None) != (start is None):
        raise ValueError(
            "got masks without start images, or these without masks, for a model that makes its own masks; expected "
            "neither or both; to fix: num=... alone"
        )
    if distance is not None:
        if num not in (None, len(distance)):
            raise ValueError(f"got num={num} for {len(distance)} masks; expected as many; to fix: leave num out")
        return len(distance)
    if num is None or num < 1:
        raise ValueError(f"got num={num}; expected at least 1; to fix: num=64")
    return num


def _state(model: Model, pairs: Any, start: Any, distance: Any) -> np.ndarray:
    """Start images in model units. Raises ValueError where they do not fit the masks."""
    info = model.info
    if isinstance(pairs, Joint):
        info = info.replace(channel_names=info.channel_names[:-1])
    images = [with_channels(image, info).astype(np.float32) for image in start]
    shapes = sorted({image.shape[:-1] for image in images})
    if len(images) != len(distance) or shapes != [distance.shape[1:-1]]:
        raise ValueError(
            f"got {len(images)} start images of {', '.join(map(str, shapes))} pixels for {len(distance)} masks of "
            f"{distance.shape[1:-1]}; expected the same; to fix: crop both alike"
        )
    images = np.stack(images)
    if isinstance(pairs, Joint):
        images = np.concatenate([images, distance], axis=-1)
    for i, image in enumerate(images):
        then = "it is varied all the same"
        say_scale(image, model.levels, model.normaliser, model.info, name=f"{START} {i}: ", then=then)
    return model.normaliser.forward(images)
