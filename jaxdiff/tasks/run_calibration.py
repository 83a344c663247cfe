"""What held-out images taught about a run's results, as a file beside the run, for the same settings and parameters only."""

import abc
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxdiff.bulk.job import parameters_checksum
from jaxdiff.data.errors import DataError
from jaxdiff.data.levels import blank
from jaxdiff.malformed import malformed
from jaxdiff.model import Model
from jaxdiff.plain import to_plain
from jaxdiff.tasks.beside_run import read_beside, write_beside
from jaxdiff.tasks.risk_control import LEAST, MOST, highest_percent, images_for, percent_of
from jaxdiff.tasks.sampled import with_channels

ON_PAIRS = ("denoise", "super-resolve", "translate", "segment")
"""Tasks that a run is trained for: it has one of them."""


@dataclass(frozen=True, kw_only=True)
class RunCalibration(abc.ABC):
    """What a calibration is of; those of intervals and of margins add what they found."""

    task: str
    """Of the model: denoise, segment, …; letters, digits and "-"."""
    images: int
    """Held-out images that the guarantee is over."""
    percent: int
    """Coverage, in percent, that was tried on these images, each by what all others ask for."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How the results were made, plain values."""
    checkpoint: int | None = None
    """Step of the model's."""
    parameters: str | None = None
    """Checksum of what it denoises with."""

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}", self.task):
            raise malformed("task", self.task, "a word of letters, digits and -", "calibrate anew")
        if not 1 <= self.images < 2**62:
            raise malformed("images", self.images, "1 or more", "calibrate anew")
        if not LEAST <= self.percent <= MOST:
            raise malformed("percent", self.percent, f"{LEAST} to {MOST}", "calibrate anew")

    @property
    @abc.abstractmethod
    def factors_by_coverage(self) -> tuple[tuple[float, ...], ...]:
        """All that there is for coverages of 0.50, 0.51, …"""

    @abc.abstractmethod
    def in_all(self, images: int) -> int:
        """Held-out images, at least, of which so many are left for the guarantee."""

    @property
    def highest(self) -> float:
        """The highest coverage that there is."""
        return (LEAST + min(map(len, self.factors_by_coverage)) - 1) / 100

    def check_coverage(self, coverage: float) -> None:
        """Raises ValueError for a coverage that the images do not allow."""
        for factors in self.factors_by_coverage:
            self.factor_of(factors, coverage)

    def factor_of(self, factors: tuple[float, ...], coverage: float) -> float:
        """That of the next coverage that is no lower. Raises ValueError for one that is too high for the images."""
        percent = percent_of(coverage)
        if percent - LEAST >= len(factors):
            more = images_for(percent)
            fix = f"calibrate on {self.in_all(more)} images or more"
            raise DataError(
                f"coverage={coverage} of a calibration on {self.images} images",
                f"at most {(LEAST + len(factors) - 1) / 100}",
                fix if more > self.images else "a lower coverage, no interval holds so much",
            )
        return factors[percent - LEAST]

    def unlike(self, model: Model, task: str, settings: dict[str, Any]) -> str | None:
        """Why the calibration is not one of results of this model and these settings; None where it is."""
        pairs = {"task": (task, self.task), "checkpoint": (model.step, self.checkpoint)}
        names = sorted({*settings, *self.settings})
        pairs |= {name: (settings.get(name), self.settings.get(name)) for name in names}
        for name, (now, own) in pairs.items():
            if now != own:
                return f"{name} {now}, it is of {own}"
        if self.parameters != parameters_checksum(model):
            return "the model has other parameters, it was trained anew"
        return None

    def save(self, run: str | Path) -> Path:
        """Writes it into a run, as `file_of` names it, replacing an earlier one; the path."""
        return write_beside(Path(run) / file_of(self.task), self)

    @classmethod
    def load(cls, run: str | Path, task: str = "") -> Self:
        """What `save` left in a run. task: where it is none of `ON_PAIRS`.

        Raises FileNotFoundError where there is none, ValueError where unreadable.
        """
        path = Path(run) / file_of(task)
        if not path.is_file():
            raise FileNotFoundError(
                f"got {run} without {path.name}; expected calibrated intervals; to fix: jaxdiff calibrate {run}"
            )
        return read_beside(path, cls, f"jaxdiff calibrate {run} --replace")


def file_of(task: str = "") -> str:
    """Name of the file in a run: intervals.json of the task that it is trained for, of others with the task's name."""
    return "intervals.json" if task in ("", *ON_PAIRS) else f"intervals_{task}.json"


def about(model: Model, task: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The fields of a calibration that say what it is of."""
    return {
        "task": task,
        "settings": settings,
        "checkpoint": model.step,
        "parameters": parameters_checksum(model),
    }


def sampling_settings(model: Model, samples: int, calls: int, solver: Any, **further: Any) -> dict[str, Any]:
    """The settings of a calibration: plain values on which the samples of a task depend.

    further: those that only this task has. Raises ValueError for one sample, which has no spread, and for a solver that has
    no plain form.
    """
    if samples < 2:
        raise ValueError(
            f"got samples={samples}; expected 2 or more, one has no spread; to fix: as many as the task will be used with"
        )
    own = getattr(solver, "grid", None) is not None
    plain = to_plain(model.solver if solver is None else solver, "solver")
    return {
        "samples": samples,
        "calls": len(model.grid(calls, solver)) if own else calls,
        "solver": json.dumps(plain, sort_keys=True),  # as text: a solver's numbers may be infinite
        **to_plain(further),
    }


def with_truths(
    key: PRNGKeyArray, model: Model, images: Iterable[Any], truths: Iterable[Any]
) -> Iterator[tuple[PRNGKeyArray, np.ndarray, np.ndarray]]:
    """Each held-out image (*spatial, C) with its truth and a key of its own, one at a time.

    Raises ValueError for a blank image, and for more images than truths or fewer.
    """
    for number, (image, truth) in enumerate(itertools.zip_longest(images, truths)):
        if image is None or truth is None:
            more, fewer = ("truths", "images") if image is None else ("images", "truths")
            raise ValueError(
                f"got more {more} than the {number} {fewer}; expected one truth for each image; to fix: leave the others out"
            )
        values = with_channels(image, model.inputs.info)
        if blank(values):
            raise ValueError(f"got image {number}, which is blank; expected light; to fix: leave it out")
        yield jax.random.fold_in(key, number), values, truth


def check_factors(name: str, factors: tuple[float, ...], images: int) -> None:
    """Raises Malformed unless these are numbers for coverages of 50 %, 51 %, … that so many images allow."""
    most = highest_percent(images) - LEAST + 1
    rising = all(a <= b for a, b in itertools.pairwise(factors))
    if not (1 <= len(factors) <= most and rising and all(0 <= f < 1e30 for f in factors)):
        raise malformed(name, factors, f"1 to {most} numbers of 0 or more that do not fall", "calibrate anew")
