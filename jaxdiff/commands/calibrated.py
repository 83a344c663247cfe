"""Whether a command's results have intervals: RUN/intervals.json is there, and is of these settings."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from jaxdiff.commands.folders.options import FolderOptions
from jaxdiff.data.errors import DataError
from jaxdiff.model import Model
from jaxdiff.tasks.risk_control import percent_of
from jaxdiff.tasks.run_calibration import RunCalibration, file_of
from jaxdiff.terminal import one_line

USUAL = 0.9


@dataclass(frozen=True, kw_only=True)
class IntervalOptions(FolderOptions):
    """Options of a task whose results have calibrated intervals."""

    posterior_std: float | None = None
    """Standard deviation of what the image leaves open, over that of the training images: 0.1 gives samples of few calls the
    spread of a task whose input says nearly everything; default 1."""
    coverage: float | None = None
    """Share of the truth that the calibrated interval holds, on average over images; default 0.9."""
    calibrated: bool = True
    """Write intervals, where the run is calibrated for these settings (`jaxdiff calibrate`)."""

    def __post_init__(self):
        super().__post_init__()
        if self.coverage is not None:
            percent_of(self.coverage)
            if not self.calibrated:
                raise ValueError("got --coverage with --no-calibrated; expected one of them; to fix: leave one out")

    @property
    def std(self) -> float:
        """Of the posterior, in model units."""
        return 1.0 if self.posterior_std is None else self.posterior_std

    def wanted(self, calibration: RunCalibration) -> float:
        """The coverage of the intervals."""
        return min(USUAL, calibration.highest) if self.coverage is None else self.coverage

    def without_intervals(self, task: str) -> None:
        """Raises ValueError for what was asked for of a task whose intervals are not calibrated, and has no use for it."""
        if self.posterior_std is not None:
            raise ValueError(f"got --posterior-std with {task}; expected a run on pairs; to fix: leave it out")
        if self.coverage is not None:
            raise ValueError(
                f"got --coverage with {task}, whose intervals are not calibrated by a command; expected none; to fix: leave "
                "it out, or jd.tasks.fitted_intervals in Python"
            )


Of = TypeVar("Of", bound=RunCalibration)


def usable(
    options: IntervalOptions, model: Model, task: str, cls: type[Of], settings: Callable[[], dict[str, Any]]
) -> Of | None:
    """The run's calibration, where it is of these settings; else None, and one line says why.

    settings: asked for where there is one. Raises ValueError, before any work, for a file that cannot be read, for a
    coverage that it does not allow, and for one that was asked for where there is none.
    """
    if not options.calibrated:
        return None
    stored = (model.run or Path()) / file_of(task)
    if model.run is None or not stored.is_file():
        reason, fix = f"there is no {stored}", f"jaxdiff calibrate {model.run}"
    elif options.samples < 2:
        reason, fix = "one sample has no spread", "--samples 2 or more"
    else:
        calibration = cls.load(model.run, task)
        reason, fix = calibration.unlike(model, task, settings()), "these, or calibrate anew"
        if reason is None:
            coverage = options.wanted(calibration)
            calibration.check_coverage(coverage)
            if coverage < USUAL and options.coverage is None:
                print(f"intervals are of {100 * coverage:.0f} %, as much as {calibration.images} held-out images allow")
            return calibration
        reason = f"{stored} is of other results: {reason}"
    if options.coverage is not None:
        raise DataError(f"--coverage {options.coverage}, where {reason}", "a calibrated run", fix)
    print(
        one_line(f"intervals are not calibrated, {reason}: none are written, and what the samples span is too narrow")
    )
    return None


def described(calibration: RunCalibration | None) -> dict[str, Any]:
    """What results depend on, as plain values, in the place of whether a calibration was asked for."""
    return {"calibrated": None, "intervals": None if calibration is None else asdict(calibration)}
