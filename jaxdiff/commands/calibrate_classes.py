"""`jaxdiff calibrate RUN --input FOLDER` of a run by class: how sure its classifier may be, from images by class."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.commands.classify import ClassifierOptions, class_names
from jaxdiff.commands.folders.over_folder import listed
from jaxdiff.commands.held_out import HeldOutOptions
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.read import check_image, info_of, read
from jaxdiff.data.info import check_kind
from jaxdiff.data.levels import blank
from jaxdiff.data.names import key
from jaxdiff.model import Model
from jaxdiff.seeds import key_of
from jaxdiff.tasks.class_calibration import NAME, Calibration
from jaxdiff.tasks.classify import calibrate, check_classes
from jaxdiff.terminal import one_line


@dataclass(frozen=True, kw_only=True)
class CalibrateClasses(ClassifierOptions, HeldOutOptions):
    """Fit the temperature of a run's classifier, and what scores are usual; `sample.py classify` then uses them."""


def calibrated(options: CalibrateClasses) -> Calibration:
    """Fits the calibration and saves it in the run.

    Raises DataError, before any long work, where there is one already, a class has no folder or no images, or a file cannot
    be used; LockedError where another process calibrates it.
    """
    with options.writing(NAME) as model:
        return _calibrated(options, model)


def _calibrated(options: CalibrateClasses, model: Model) -> Calibration:
    check_classes(model)
    assert model.run is not None
    images, labels, numbers = _images(options, model)
    if len(set(numbers)) > 1:
        counts = ", ".join(f"{n} of {name}" for name, n in zip(class_names(model), numbers))
        print(
            f"got {one_line(counts)}: probabilities will be those of classes as frequent as these; to fix: as many of each"
        )
    result = calibrate(key_of(options.seed), model, images, labels, **options.settings())
    path = result.save(model.run)
    print(
        f"{path}: {100 * result.accuracy:.1f} % of {result.images} images right, temperature {result.temperature:.3g}, "
        f"{result.nll:.3g} nats a label (chance {np.log(len(numbers)):.3g})"
    )
    same = " ".join(f"--{name} {getattr(options, name)}" for name in ("draws", "weighting"))
    print(f"use: python sample.py classify --run {options.run} {same} --input FOLDER --out FOLDER")
    return result


def _images(options: CalibrateClasses, model: Model) -> tuple[list[np.ndarray], list[int], list[int]]:
    """All images, their classes, and how many each class has."""
    images, labels, notes, left = [], [], set(), []
    names = class_names(model)
    folders = {key(p.name): p for p in options.input.iterdir() if p.is_dir()} if options.input.is_dir() else {}
    for label, name in enumerate(names):
        folder = folders.get(key(name))
        if folder is None:
            raise DataError(
                f"{options.input} without a folder {name}", f"one for each class: {', '.join(names)}", "add its images"
            )
        for item in listed(folder, options.axes, options.all_readers)[0]:
            try:
                image = item.readable()
                pixels = read(image, item.index)
                if blank(pixels):
                    raise UnreadableError(f"{item.file}, a blank image", f"one of {name}", "remove it")
            except UnreadableError as error:
                if not options.skip_unreadable:
                    raise error.skippable() from error
                left.append(f"left out: {error}")
                continue
            check_image(image)
            notes |= {*image.notes, *check_kind(info_of(image), model.info, str(item.file))}
            images.append(pixels)
            labels.append(label)
    for text in (*left, *sorted(notes)):
        print(one_line(text))
    numbers = np.bincount(np.array(labels, int), minlength=len(names)).tolist()
    if 0 in numbers:
        name = names[numbers.index(0)]
        raise DataError(f"{options.input} without a readable image of {name}", "some of each class", "copy them again")
    return images, labels, numbers
