"""`jaxdiff calibrate RUN --input FOLDER --truth FOLDER` of a run trained on pairs: intervals that hold their share."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxdiff.commands.calibration_report import report
from jaxdiff.commands.held_out import HeldOutOptions
from jaxdiff.commands.length import length_of
from jaxdiff.commands.solver_options import SolverOptions
from jaxdiff.data.errors import DataError, UnreadableError, unreadable
from jaxdiff.data.files.read import Files
from jaxdiff.data.info import check_kind
from jaxdiff.data.levels import blank
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.folder import list_folder
from jaxdiff.model import Model
from jaxdiff.seeds import key_of
from jaxdiff.tasks.calibrate_intervals import calibrate_intervals, task_of
from jaxdiff.tasks.interval_calibration import USUAL, IntervalCalibration
from jaxdiff.tasks.margin_calibration import MarginCalibration, calibrate_margins
from jaxdiff.tasks.risk_control import highest_percent, images_for
from jaxdiff.tasks.run_calibration import RunCalibration, file_of
from jaxdiff.terminal import one_line

SEGMENT, DENOISE = "segment", "denoise"


@dataclass(frozen=True, kw_only=True)
class CalibratePairs(SolverOptions, HeldOutOptions):
    """Fit how wide intervals must be to hold the share of true pixels that they promise; `sample.py TASK` then uses it."""

    truth: Path | None = None
    """Folder of what the model estimates of each image of --input, of the same names: images, or of segmentation masks."""
    samples: int = 8
    """Samples for each image, as many as the task will be used with."""
    calls: int | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Network calls for each sample; default the task's own."""
    correct: bool = True
    """As of sample.py denoise."""
    posterior_std: float = 1.0
    """As of the task."""
    diameter: str | None = None
    """As of sample.py segment, of the objects of all images; margins are for diameters that are given or estimated alike."""

    def __post_init__(self):
        if self.calls is not None:
            super().__post_init__()
        if self.samples < 2:
            raise ValueError(f"got samples={self.samples}; expected at least 2, one has no spread; to fix: --samples 8")
        if self.diameter is not None:
            length_of(self.diameter)

    @property
    def own_calls(self) -> dict[str, int]:
        """The calls that were asked for."""
        return {} if self.calls is None else {"calls": self.calls}


def calibrated(options: CalibratePairs) -> IntervalCalibration | MarginCalibration:
    """Fits the calibration and saves it in the run.

    Raises DataError, before any long work, where there is one already, an image has no truth or a truth no image, they do not
    fit each other or the model, or cannot be read; LockedError where another process calibrates the run.
    """
    if options.truth is None:
        raise ValueError(
            f"got no --truth for {options.run}, which is trained on pairs; expected the folder of what it should estimate of "
            "each image of --input; to fix: --truth FOLDER"
        )
    with options.writing(file_of()) as model:
        segments = model.pairing is not None and model.pairing.pairs.task == SEGMENT
        task = SEGMENT if segments else task_of(model)
        for name, stated, of in (
            ("--diameter", options.diameter, SEGMENT),
            ("--no-correct", not options.correct, DENOISE),
        ):
            if stated and task != of:
                raise ValueError(f"got {name} with a run trained to {task}; expected one to {of}; to fix: leave it out")
        records = _records(options, options.truth, model, segments)
        result = (_margins if segments else _intervals)(options, model, records)
        assert model.run is not None
        path = result.save(model.run)
    print(one_line(f"{path}: {result.images} images"))
    for line in report(result, getattr(model.pairing and model.pairing.pairs, "truncation", np.inf)):
        print(f"  {line}")
    run = shlex.quote(str(options.run))
    print(f"use: python sample.py {result.task} --run {run} {_in_words(options, result)} --input FOLDER --out FOLDER")
    return result


def _in_words(options: CalibratePairs, result: RunCalibration) -> str:
    """The options of the task by which its results are those of the calibration."""
    stated: dict[str, Any] = {"samples": options.samples, "calls": result.settings["calls"]}
    defaults = {one.name: one.default for one in fields(options)}
    for name in ("checkpoint", "solver", "order", "eta", "solver_fields", "posterior_std", "diameter"):
        if (value := getattr(options, name)) != defaults[name]:
            stated[name] = value
    words = [
        f"--{name.replace('_', '-')} {shlex.join(map(str, value if isinstance(value, tuple) else (value,)))}"
        for name, value in stated.items()
    ]
    return " ".join([*words, *(() if options.correct else ("--no-correct",))])


def _records(options: CalibratePairs, truth: Path, model: Model, segments: bool) -> Files:
    """The held-out images and truths: each was read once, and none is blank."""
    how = {"axes": options.axes, "skip_unreadable": options.skip_unreadable, "readers": options.all_readers}
    if segments:
        listing = list_folder(options.input, masks=truth, **how)
        info, factor = listing.source.info, model.inputs.factor
    else:
        listing = list_folder(truth, inputs=options.input, **how)
        info, factor = listing.input_info, listing.factor
        assert info is not None
        said = check_kind(listing.source.info, model.info, str(truth))
        print("".join(f"{one_line(f'{truth}: {text}')}\n" for text in said), end="")
    said = check_kind(info, model.inputs.info, str(options.input))
    print("".join(f"{one_line(f'{options.input}: {text}')}\n" for text in (*said, *listing.notes)), end="")
    if factor != model.inputs.factor:
        raise DataError(
            f"{truth} of {factor} times the pixels of {options.input}",
            f"{model.inputs.factor} times, as in the model's training",
            "truths on the pixels of the model's results",
        )
    kept, refused = [], []
    for index, entry in enumerate(listing.source.entries):
        try:
            _check(listing.source[index], entry.name)
            kept.append(entry)
        except UnreadableError as error:
            refused.append(error)
    if refused and not options.skip_unreadable:
        raise refused[0].skippable() if len(refused) == 1 else unreadable(options.input, refused, len(listing.source))
    for text in (*listing.skipped, *map(str, refused)):
        print(one_line(f"left out: {text}"))
    if len(kept) < 2:
        raise DataError(f"{len(kept)} images in {options.input}", "2, better 20 or more", "hold more images out")
    if (highest := highest_percent(len(kept))) < USUAL:
        print(
            f"got {len(kept)} images: intervals of up to {highest} % can be had; to fix: {images_for(USUAL)} or more for "
            f"{USUAL} %"
        )
    return Files(kept, listing.source.info)


def _check(record: Record, name: str) -> None:
    """Raises UnreadableError for a blank image, and for pixels that are not finite."""
    image = record.get("input", record["image"])
    if blank(image):
        raise UnreadableError(f"{name}, a blank image", "one with light", "remove it with its truth")
    for kind, pixels in (("an image", image), ("a truth", record["image"])):
        if not np.isfinite(pixels).all():
            raise UnreadableError(f"{name}, {kind} with NaN or infinite pixels", "finite ones", "repair it")


def _part(records: Files, name: str) -> Iterator[Any]:
    """The images, inputs or masks of all records, each read when it is asked for."""
    for index in range(len(records)):
        yield records[index][name]


def _shown(records: Files, name: str) -> Iterator[Any]:
    """The same with the progress of the whole."""
    yield from tqdm(_part(records, name), total=len(records), unit="image", dynamic_ncols=True)


def _intervals(options: CalibratePairs, model: Model, records: Files) -> IntervalCalibration:
    own: dict[str, Any] = {"posterior_std": options.posterior_std} | options.own_calls
    if task_of(model) == DENOISE:
        own["correct"] = options.correct
    return calibrate_intervals(
        key_of(options.seed),
        model,
        _shown(records, "input"),
        _part(records, "image"),
        options.samples,
        solver=options.solver_of(model),
        **own,
    )


def _margins(options: CalibratePairs, model: Model, records: Files) -> MarginCalibration:
    return calibrate_margins(
        key_of(options.seed),
        model,
        _shown(records, "image"),
        _part(records, "mask"),
        options.samples,
        solver=options.solver_of(model),
        posterior_std=options.posterior_std,
        diameter=None if options.diameter is None else length_of(options.diameter).pixels(records.info),
        **options.own_calls,
    )
