"""Segmentation: instances, their probability, its uncertainty and their classes, from K samples of the signed distance."""

from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs.distance import TRUNCATION
from jaxdiff.data.resample import resampled
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.diameter import Whence, given_or_estimated
from jaxdiff.tasks.instances import instances
from jaxdiff.tasks.object_classes import ObjectClasses, classes_of, of_objects
from jaxdiff.tasks.sampled import check_task, conditional_samples
from jaxdiff.tasks.scale import blank_input, check_samples
from jaxdiff.tasks.seen import object_size_of

Fuse = Literal["mean", "vote"]
FOLD = 4
"""Longer sides of an image that an object in it may measure, at most."""


class Segmented(NamedTuple):
    """What `segment` returns, all of the image's spatial shape."""

    labels: Int[np.ndarray, "*spatial"]
    """Instances 1..n, 0 the background."""
    probability: Float[np.ndarray, "*spatial"]
    """Share of the samples in which the pixel lies inside an object."""
    uncertainty: Float[np.ndarray, "*spatial"]
    """Entropy of that probability, 0 to 1 bit; NaN for one sample, which cannot disagree."""
    distance: Float[np.ndarray, "*spatial"]
    """Mean signed distance to the outline, pixels, above 0 inside."""
    diameter: float | None = None
    """Of the objects, in pixels, by which the image was resampled, given or estimated; None of a model of no one size."""
    diameter_from: Whence | None = None
    """Where that is from; of the model where no objects were found."""
    classes: ObjectClasses | None = None
    """Of the objects; None of a model that knows no classes."""


def segment(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*spatial channels"],
    samples: int = 4,
    *,
    calls: int = 2,
    solver: Any = None,
    posterior_std: float = 1.0,
    fuse: Fuse = "mean",
    dynamic: float = 2.5,
    least: int = 20,
    diameter: float | None = None,
) -> Segmented:
    """The instances in an image of any size, (*spatial, C) in the data's own units.

    An image whose grey levels are not those of training is said with numbers, as a warning; a blank one has no objects.
    Of a model of classes objects are found as of any other, so that two of different classes never share a pixel; which class
    each is of is said by all samples (`ObjectClasses`).
    By a model of one size of objects (`jaxdiff.data.object_size`) the image is segmented on pixels of that size, and the
    distance brought back to its own.

    Args:
        key: of the samples.
        model: trained with `Segmentation`.
        image: (*spatial, C), data units.
        samples: draws that are fused; 1 gives a segmentation, but no uncertainty.
        calls: network calls of each.
        solver: default `model.solver`, on its own grid or the model's default one.
        posterior_std: of what the input leaves open, over that of the training images: the default grid moves by −log of it,
            to where so little noise is left. Samples of a smaller one agree too much.
        fuse: the foreground is where the mean distance is above 0, or where more than half of the samples are inside.
        dynamic: see `jaxdiff.tasks.instances`; in the model's pixels, as is `least`.
        least: see `jaxdiff.tasks.instances`.
        diameter: median of the objects, in pixels of the image, for a model of one size; none: estimated from the image
            (`jaxdiff.tasks.diameter`).

    Returns:
        Labels, probability of the foreground, its uncertainty, the mean distance, and the objects' classes.

    Raises:
        ValueError: for a model trained for something else or of no one size, for pixels that are not finite, and other axes
            or channels.
    """
    check_key(key)
    check_task(model, "segment")
    if fuse not in ("mean", "vote"):
        raise ValueError(f"got fuse={fuse!r}; expected 'mean' or 'vote'")
    size, names = object_size_of(model), classes_of(model)
    check_diameter(diameter, size)
    if blank_input(model, image):
        spatial = np.shape(image)[: len(model.inputs.info.spatial)]
        check_samples(samples)
        away = getattr(model.pairing and model.pairing.pairs, "truncation", TRUNCATION)
        return _segmented(np.full((samples, *spatial, 1 + len(names)), -away, np.float32), fuse, dynamic, least, names)
    sampling = {"calls": calls, "solver": solver, "posterior_std": posterior_std}
    if size is None or size.diameter is None:
        return _segmented(conditional_samples(key, model, image, samples, **sampling), fuse, dynamic, least, names)
    spatial = np.shape(image)[:2]
    if diameter is not None and diameter > FOLD * max(spatial):
        raise ValueError(
            f"got diameter={diameter:g} pixels for an image of {spatial[0]} x {spatial[1]}; expected at most {FOLD} times "
            "its longer side; to fix: measure an object in the image, or correct the pixel size"
        )
    diameter, whence = given_or_estimated(key, model, image, size.diameter, diameter)
    factor = size.diameter / diameter
    draws = conditional_samples(key, model, image, samples, factor=factor, **sampling)
    draws = np.stack([resampled(draw, spatial) for draw in draws])
    draws[..., 0] /= np.float32(factor)
    result = _segmented(draws, fuse, dynamic / factor, least / factor**2, names)
    return result._replace(diameter=diameter, diameter_from=whence)


def check_diameter(diameter: float | None, size: ObjectSize | None) -> None:
    """Raises ValueError for a diameter that is none, and for one that the model has no use for."""
    if diameter is None:
        return
    if size is None:
        raise ValueError(
            f"got diameter={diameter}, for a model that takes pixels as they come; expected none; to fix: leave it out, or "
            "train with size=ObjectSize(diameter=20)"
        )
    if not 1 <= diameter < np.inf:
        raise ValueError(f"got diameter={diameter}; expected pixels, 1 or more; to fix: measure an object in the image")


def _segmented(
    draws: Float[np.ndarray, "k *spatial channels"], fuse: str, dynamic: float, least: float, names: tuple[str, ...]
) -> Segmented:
    """The segmentation of samples of the distance and of the channels of the classes in `names`."""
    result = fused(draws[..., 0], fuse, dynamic, least)
    return result._replace(classes=of_objects(result.labels, draws, names)) if names else result


def fused(distances: Float[np.ndarray, "k *spatial"], fuse: str, dynamic: float, least: float) -> Segmented:
    """The segmentation of samples of the distance."""
    mean, probability = distances.mean(axis=0), (distances > 0).mean(axis=0, dtype=np.float32)
    foreground = mean > 0 if fuse == "mean" else probability > 0.5
    labels = instances(mean, foreground, dynamic=dynamic, least=least)
    unsure = entropy(probability) if len(distances) > 1 else np.full_like(probability, np.nan)
    return Segmented(labels, probability, unsure, mean)


def entropy(probability: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Bits of a yes or no of this probability."""
    p = np.clip(probability.astype(np.float64), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(q > 0, -q * np.log2(q), 0) for q in (p, 1 - p)]
    return (terms[0] + terms[1]).astype(np.float32)
