"""Classification by a class-conditional image model: the class under which it denoises an image best.

No classifier is trained: any model of images by class (`sample.py generate --label`) is one. See
`jaxdiff.tasks.class_errors` for why.
"""

import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from tqdm import tqdm

from jaxdiff.data.levels import blank
from jaxdiff.guidance.windowed import window_starts
from jaxdiff.model import Model
from jaxdiff.seeds import check_key
from jaxdiff.tasks.class_calibration import Calibration, fitted, probabilities
from jaxdiff.tasks.class_errors import ClassErrors, Draws, class_errors
from jaxdiff.tasks.sampled import reflected, with_channels
from jaxdiff.tasks.scale import say_scale
from jaxdiff.training.lam_sampler import LamSampler, Stratified
from jaxdiff.training.weighting import Sigmoid, Weighting

ImageOrImages = Float[np.ndarray, "*n spatial channels"] | Sequence[np.ndarray]


class Classification(NamedTuple):
    """What `classify` returns; with a leading axis for several images."""

    label: Int[np.ndarray, "*n"]
    """The class of least error; −1 for a blank image, whose probabilities, errors and score are NaN."""
    probability: Float[np.ndarray, "*n classes"]
    """softmax(−error/temperature); without a calibration the temperature is 1, which is far too sure."""
    error: Float[np.ndarray, "*n classes"]
    """Denoising error, nats for each window: its differences are log-likelihood ratios."""
    score: Float[np.ndarray, "*n"]
    """How unusual the image is: its least error, in standard deviations from the mean of the held-out images of the
    calibration. Far above 0: not like any class. Far below: simpler than all, as blank images are (Nalisnick et al. 2019,
    arXiv 1810.09136). Without a calibration the least error itself."""
    draws: Int[np.ndarray, "*n classes"]
    """Draws made for each class: fewer where it was dropped early."""


def classify(
    key: PRNGKeyArray,
    model: Model,
    image: ImageOrImages,
    draws: int = 64,
    *,
    weighting: Weighting | None = None,
    lam_sampler: LamSampler | None = None,
    standard_errors: float | None = 4.0,
    batch: int = 32,
    calibration: Calibration | None = None,
) -> Classification:
    """The class of an image (*spatial, C) in data units; of a stack of them or a list, of each.

    Classes are taken to be equally frequent. An image larger than the model's window has the mean error of windows side by
    side (the last moved inward to end at the edge), with one noise; a smaller one is reflected, and a warning says so.
    Images, keys and sizes: one program. Images whose grey levels are not those of training are said with numbers, as a
    warning; blank ones have no class.

    Args:
        key: image i depends on (key, i).
        model: class-conditional.
        image: (*spatial, C) in data units, a stack of images, or a list of images of any sizes.
        draws: pairs of noise level and noise, the same for all classes; the work is draws × classes network evaluations, less
            what is saved by dropping classes.
        weighting: of the error of ε at each λ. Default `Sigmoid()`, the likelihood of the image with some noise added, for it
            is what models are trained by here, and it leaves out the finest texture, of which labels say little;
            `Likelihood()`: of the image as it is; `SNRPlusOne()`: uniform in v. See `jaxdiff.training.weighting`.
        lam_sampler: of λ; default `Stratified(model.schedule)`.
        standard_errors: a class whose paired difference to the best is above so many is dropped; None: none is.
        batch: images in one network call.
        calibration: of `calibrate`, for the same settings.

    Returns:
        Class, probabilities and errors of each image.

    Raises:
        ValueError: for a model without classes or with another condition, class names that are not one for each class, images
            with other axes or channels, pixels that are not finite, and a calibration of other settings.
    """
    check_key(key)
    check_classes(model)
    how = draws_of(
        model, draws, weighting=weighting, lam_sampler=lam_sampler, standard_errors=standard_errors, batch=batch
    )
    if calibration is not None:
        calibration.check(how.settings, model.step)
    images, is_single = _images(image, model)
    errors = _errors_of_all(key, model, images, how, names=[""] if is_single else None)
    error = np.stack([of_image.error for of_image in errors])
    score = error.min(axis=1)
    if calibration is not None:
        score = (score - calibration.mean) / calibration.std
    result = Classification(
        label=np.where(np.isnan(score), -1, error.argmin(axis=1)),
        probability=probabilities(error, 1.0 if calibration is None else calibration.temperature),
        error=error,
        score=score,
        draws=np.stack([of_image.draws for of_image in errors]),
    )
    return Classification(*(values[0] for values in result)) if is_single else result


def calibrate(
    key: PRNGKeyArray,
    model: Model,
    images: ImageOrImages,
    labels: Sequence[int] | Int[np.ndarray, " n"],
    draws: int = 64,
    *,
    weighting: Weighting | None = None,
    lam_sampler: LamSampler | None = None,
    standard_errors: float | None = 4.0,
    batch: int = 32,
) -> Calibration:
    """The temperature and the usual errors of `classify` with these settings, from held-out labelled images.

    `calibration.save(run)` keeps it beside the run, where `sample.py classify` finds it.

    Args:
        key: of the draws.
        model: class-conditional.
        images: that the model was not trained on, of the sizes that are to be classified; their classes as frequent as each
            other, for then probabilities are those of classes equally frequent.
        labels: their classes, numbers from 0.
        draws: as in `classify`.
        weighting: as in `classify`.
        lam_sampler: as in `classify`.
        standard_errors: as in `classify`.
        batch: images in one network call.

    Returns:
        The calibration, for `classify(calibration=)`.

    Raises:
        ValueError: for blank images, and what `classify` and `jaxdiff.tasks.class_calibration.fitted` refuse.
    """
    check_key(key)
    check_classes(model)
    how = draws_of(
        model, draws, weighting=weighting, lam_sampler=lam_sampler, standard_errors=standard_errors, batch=batch
    )
    held_out, is_single = _images(images, model)
    if is_single or len(held_out) != len(labels):
        raise ValueError(f"got {len(held_out)} image(s) and {len(labels)} labels; expected as many, two or more")
    if empty := [str(i) for i, image in enumerate(held_out) if blank(image)]:
        raise ValueError(
            f"got blank images ({', '.join(empty[:10])}), which have no class; expected none among those held out; to fix: "
            "leave them out"
        )
    error = np.stack([of_image.error for of_image in _errors_of_all(key, model, held_out, how)])
    return fitted(error, np.asarray(labels), settings=how.settings, checkpoint=model.step)


def check_classes(model: Model) -> None:
    """Raises ValueError unless the model is one of images by class, and by nothing else."""
    classes, names = model.classes, model.info.class_names
    if classes < 2 or model.pairing is not None:
        what = "trained with pairs" if model.pairing is not None else f"of {classes} classes"
        raise ValueError(
            f"got a model {what}; expected one of images by two classes or more, and by nothing else; to fix: train with "
            "--network.num-classes on a folder with one subfolder for each class"
        )
    if names and len(names) != classes:
        raise ValueError(
            f"got a model of {classes} classes with {len(names)} names ({', '.join(names)}); expected a name for each: the "
            f"others were never trained; to fix: train with --network.num-classes {len(names)}"
        )


def draws_of(
    model: Model,
    draws: int = 64,
    *,
    weighting: Weighting | None = None,
    lam_sampler: LamSampler | None = None,
    standard_errors: float | None = 4.0,
    batch: int = 32,
) -> Draws:
    """The options of `classify` with the defaults for this model."""
    return Draws(
        lam_sampler=Stratified(model.schedule) if lam_sampler is None else lam_sampler,
        draws=draws,
        weighting=Sigmoid() if weighting is None else weighting,
        standard_errors=standard_errors,
        batch=batch,
    )


def _images(images: ImageOrImages, model: Model) -> tuple[list[np.ndarray], bool]:
    """The images (*spatial, C), and whether it is one that was not in a stack."""
    is_single = isinstance(images, np.ndarray | jax.Array) and np.ndim(images) <= len(model.info.axes)
    checked = [with_channels(pixels, model.info) for pixels in ([images] if is_single else images)]
    if not checked:
        raise ValueError("got no images; expected at least one")
    return checked, is_single


def _errors_of_all(
    key: PRNGKeyArray, model: Model, images: list[np.ndarray], how: Draws, names: list[str] | None = None
) -> list[ClassErrors]:
    """The errors of each image, of blank ones NaN; names: what the messages about each begin with."""
    names = [f"image {i}: " for i in range(len(images))] if names is None else names
    unknown = np.full(model.classes, np.nan)
    errors = []
    for i, image in enumerate(tqdm(images, unit="image", leave=False, disable=len(images) == 1)):
        if say_scale(image, model.levels, model.normaliser, model.info, name=names[i]):
            errors.append(
                ClassErrors(unknown, np.zeros(model.classes, int), np.full((model.classes, how.draws), np.nan))
            )
            continue
        errors.append(_errors(jax.random.fold_in(key, i), model, image, how))
        if not np.isfinite(errors[-1].error).all():
            raise ValueError(
                f"got {names[i]}errors that are not finite numbers; expected finite ones; to fix: another checkpoint, or "
                "the --weighting of fewer orders of magnitude, sigmoid"
            )
    return errors


def _errors(key: PRNGKeyArray, model: Model, image: np.ndarray, how: Draws) -> ClassErrors:
    """The errors of one image, the mean over its windows."""
    window, size = model.shape[:-1], image.shape[:-1]
    if any(have < want for have, want in zip(size, window)):
        warnings.warn(
            f"an image of {' x '.join(map(str, size))} pixels is smaller than the model's window of "
            f"{' x '.join(map(str, window))} and was reflected beyond its edges",
            stacklevel=4,
        )
    normal = reflected(model.normaliser.forward(image)[None], tuple(map(max, size, window)))[0]
    corners = itertools.product(*(window_starts(have, want, 0) for have, want in zip(normal.shape, window)))
    windows = np.stack([normal[tuple(slice(c, c + w) for c, w in zip(corner, window))] for corner in corners])
    return class_errors(key, model.denoise, windows, model.classes, how)
