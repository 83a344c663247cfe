"""`jaxdiff calibrate RUN --input FOLDER`: how sure a run may be of its results, from images that it was not trained on."""

from dataclasses import dataclass, fields
from typing import Any

from jaxdiff.commands import calibrate_classes, calibrate_pairs
from jaxdiff.commands.calibrate_classes import CalibrateClasses
from jaxdiff.commands.calibrate_pairs import CalibratePairs
from jaxdiff.commands.folders.options import parsed
from jaxdiff.shipped import folder_of
from jaxdiff.training.run_folder import read_run


@dataclass(frozen=True, kw_only=True)
class Calibrate(CalibratePairs, CalibrateClasses):
    """How sure a run may be of its results, from images that it was not trained on; `sample.py TASK` uses it by default.

    Of a run that denoises, super-resolves, translates or segments, with --truth: how wide intervals must be to hold the
    share of the truth that they promise (RUN/intervals.json). Of a run by class, with one folder a class in --input: the
    temperature of its classifier, and what scores are usual (RUN/classifier.json); --draws, --weighting, --standard-errors
    and --batch are of this one alone.
    """

    def __post_init__(self):
        """Nothing: what is checked depends on the run."""


def chosen(options: Calibrate) -> CalibratePairs | CalibrateClasses:
    """The options of the calibration that the run is for. Raises ValueError for one that it has no use for."""
    on_pairs = read_run(folder_of(options.run)).get("pairing") is not None
    kind = CalibratePairs if on_pairs else CalibrateClasses
    defaults = {one.name: one.default for one in fields(options)}
    values: dict[str, Any] = {name: getattr(options, name) for name in defaults}
    stated = {name: value for name, value in values.items() if value != defaults[name]}
    useless = [f"--{name.replace('_', '-')}" for name in stated if name not in {one.name for one in fields(kind)}]
    if useless:
        what, of = ("trained on pairs", "intervals") if on_pairs else ("one of images alone", "its classifier")
        raise ValueError(
            f"got {', '.join(useless)} with {options.run}, which is {what}; expected options of {of}; to fix: leave it out"
        )
    return kind(**stated)


def main(args: list[str], prog: str = "jaxdiff calibrate") -> int:
    """The command: options from `args`; exit status."""
    options = chosen(parsed(Calibrate, args, prog))
    if isinstance(options, CalibratePairs):
        calibrate_pairs.calibrated(options)
    else:
        calibrate_classes.calibrated(options)
    return 0
