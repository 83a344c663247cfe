"""The class of every image of a folder: `sample.py classify --run R --input FOLDER --out FOLDER`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxdiff.commands.folders.options import ImagesOptions, parsed, task_over_folder
from jaxdiff.data.shown.objects import write_csv
from jaxdiff.model import Model
from jaxdiff.tasks.class_calibration import NAME, load_calibration
from jaxdiff.tasks.classify import check_classes, classify, draws_of
from jaxdiff.training.weighting import Likelihood, Sigmoid, SNRPlusOne

NUMBERS = {"class": int, "name": str, "probability": float | str, "score": float | str, "draws": int}
"""Of each image, for the table of all; what is not finite is text."""

WEIGHTINGS = {"sigmoid": Sigmoid, "likelihood": Likelihood, "velocity": SNRPlusOne}


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions:
    """How `sample.py classify` and `jaxdiff calibrate` estimate errors; a calibration is for the same."""

    draws: int = 64
    """Noise levels and noises for each class; twice as many take twice the time."""
    weighting: Literal["sigmoid", "likelihood", "velocity"] = "sigmoid"
    """Of the denoising error by noise level: as in training, the likelihood of the image as it is, or uniform in v."""
    standard_errors: float | None = 4.0
    """A class is dropped once its difference to the best is above so many standard errors; None: never."""
    batch: int = 32
    """Images in one network call."""

    def settings(self) -> dict[str, Any]:
        """For `jaxdiff.tasks.classify` and `calibrate`."""
        return {
            "draws": self.draws,
            "weighting": WEIGHTINGS[self.weighting](),
            "standard_errors": self.standard_errors,
            "batch": self.batch,
        }


@dataclass(frozen=True, kw_only=True)
class Classify(ClassifierOptions, ImagesOptions):
    """The class of every image of a folder, by the class under which a model of images denoises it best.

    One table for each image, and classes.csv of all. Probabilities are calibrated where the run has classifier.json, of
    `jaxdiff calibrate` or jd.tasks.calibrate(...).save(run).
    """

    calibrated: bool = True
    """Use the run's calibration, if there is one."""


def main(args: list[str], prog: str = "sample.py classify") -> int:
    """The command: options from `args`; exit status."""
    options: Classify = parsed(Classify, args, prog)
    model = options.model("classify")
    check_classes(model)
    settings = options.settings()
    how = draws_of(model, **settings)
    calibration, stored = None, (model.run or Path()) / NAME
    if options.calibrated and stored.is_file():
        calibration = load_calibration(stored.parent)
        calibration.check(how.settings, model.step)  # before any image: it would fail alike for each
    else:
        why = f"there is no {stored}" if options.calibrated else "as you wish"
        print(f"not calibrated, {why}: probabilities are far too sure, and scores are errors")
    names = class_names(model)

    def work(key, image, info, path):
        result = classify(key, model, image, calibration=calibration, **settings)
        table = {
            "class": np.arange(len(names)),
            "name": np.array(names, dtype=object),
            "probability": result.probability,
            "error": result.error,
            "draws": result.draws,
        }
        write_csv(path.with_name(f"{path.name}_classes.csv"), table)
        label = int(result.label)
        return {
            "class": label,
            "name": names[label] if label >= 0 else "blank",
            "probability": float(result.probability[label]),
            "score": float(result.score),
            "draws": int(result.draws.sum()),
        }

    also = {"calibration": None if calibration is None else asdict(calibration)}
    return task_over_folder(
        options,
        model,
        ("_classes.csv",),
        work,
        numbers=NUMBERS,
        expected=model.info,
        also=also,
        complete=lambda records: print(summarised(options.out, records)),
    )


def class_names(model: Model) -> list[str]:
    """A name for each class: that of training, or its number."""
    return list(model.info.class_names) or [str(label) for label in range(model.classes)]


def summarised(out: Path, records: list[dict[str, Any]]) -> Path:
    """Writes OUT/classes.csv, one row for each image that was classified; the path."""
    done = [record for record in records if record["status"] == "done"]
    rows = [{"image": record["name"], "file": record["file"], **record["numbers"]} for record in done]
    names = ("image", "file", *NUMBERS)
    path = out / "classes.csv"
    write_csv(path, {name: np.array([row[name] for row in rows], dtype=object) for name in names}, overwrite=True)
    return path
