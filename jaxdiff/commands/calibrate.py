"""`jaxdiff calibrate RUN --input FOLDER`: how sure a run's classifier may be, from held-out images in folders by class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jaxdiff.commands.classify import ClassifierOptions, class_names
from jaxdiff.commands.folders.over_folder import listed
from jaxdiff.commands.reader_options import ReaderOptions
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.read import check_image, info_of, read
from jaxdiff.data.info import check_kind
from jaxdiff.data.levels import blank
from jaxdiff.data.names import key
from jaxdiff.loading import load
from jaxdiff.lock import only_writer_of
from jaxdiff.model import Model
from jaxdiff.seeds import key_of
from jaxdiff.tasks.class_calibration import NAME, Calibration
from jaxdiff.tasks.classify import calibrate, check_classes
from jaxdiff.terminal import one_line
from jaxdiff.training.run_folder import read_run


@dataclass(frozen=True, kw_only=True)
class CalibrateRun(ClassifierOptions, ReaderOptions):
    """Fit the temperature of a run's classifier, and what scores are usual; `sample.py classify` then uses them."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, a model of images by class."""
    input: Path
    """Folder with one subfolder for each class, named as in training, of images that the model was not trained on."""
    axes: str | None = None
    """Axes of files whose metadata do not say, such as ZYX, CYX or YXS."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    seed: int = 0
    """Of the noise."""
    skip_unreadable: bool = False
    """Leave out damaged files, and name them, where otherwise nothing is calibrated."""
    replace: bool = False
    """Put the new calibration in the place of an earlier one."""


def calibrated(options: CalibrateRun) -> Calibration:
    """Fits the calibration and saves it in the run.

    Raises DataError, before any long work, where there is one already, a class has no folder or no images, or a file cannot
    be used; LockedError where another process calibrates it.
    """
    if not (options.run / "run.json").is_file():
        read_run(options.run)  # says what there is instead, and makes no folder
    with only_writer_of(options.run / NAME):
        return _calibrated(options)


def _calibrated(options: CalibrateRun) -> Calibration:
    model = load(options.run, options.checkpoint, allow=options.allow)
    check_classes(model)
    assert model.run is not None
    stored = model.run / NAME
    if stored.exists() and not options.replace:
        raise DataError(f"{stored}, which is there", "a run without a calibration", "--replace, or move it away")
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
    return result


def _images(options: CalibrateRun, model: Model) -> tuple[list[np.ndarray], list[int], list[int]]:
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


def main(args: list[str], prog: str = "jaxdiff calibrate") -> int:
    """The command: options from `args`; exit status."""
    options = tyro.cli(CalibrateRun, prog=prog, args=args)
    calibrated(options)
    same = " ".join(f"--{name} {getattr(options, name)}" for name in ("draws", "weighting"))
    print(f"use: python sample.py classify --run {options.run} {same} --input FOLDER --out FOLDER")
    return 0
