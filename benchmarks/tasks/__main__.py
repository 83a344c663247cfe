"""`python -m benchmarks.tasks PART --data PATH/bbbc039`: the conditional tasks beside other methods.

    baselines                                   the classical methods' parameters, chosen on dev
    regression  --config RUN                    the same network, data and steps as the run, trained to the mean; or
    regression  --config configs/X.py -- --steps 3000 --data.path PATH       the run's config file and options
    calls       --task T --run RUN              quality against network calls on dev; how many to take
    evaluate    --task T --run RUN --regression RUN_regression [--split val] [--full]
    uncertainty --task T --run RUN [--split val]
    labelled    --run RUN [--split val]         images generated for the masks of real fields
    blood       --data BCCD --out FOLDER        windows of blood cells, for configs/blood_cells.py
    classification --data BCCD --runs FOLDER [--split val]
    unusual     --data BCCD --nuclei PATH --run FOLDER/blood_all    does the score see what is like no class?
    spectrum    --run RUN --regression RUN_regression   resolution and power on the synthetic microscope
    help        --data PATH --out FOLDER [--seed S]     networks trained with and without made images
    helped      --data PATH --out FOLDER [--split val]  and their scores
    smears      --data BCCD --out FOLDER        pairs of green and colour, for configs/blood_translation.py
    translation --data BCCD --run RUN --regression RUN_regression [--split val]
    report                                      the section on tasks of docs/evidence.md

Everything is chosen on dev, so dev comes first (its `evaluate` also chooses the watershed of the networks); val is
measured once, what is stored of it stays unless --again. A command that runs out of its --minutes ends with status 75,
and continues when it is given again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.evidence.report import write_section
from benchmarks.tasks import (
    calls,
    choose_baselines,
    classification,
    evaluate,
    labelled,
    regression,
    report,
    smears,
    spectrum,
    synthetic_help,
    translation,
    uncertainty,
    unusual,
)
from benchmarks.tasks.calls import Calls
from benchmarks.tasks.classification import Blood, Classification
from benchmarks.tasks.evaluate import Evaluate
from benchmarks.tasks.fields import FEW
from benchmarks.tasks.labelled import Labelled
from benchmarks.tasks.methods import Task
from benchmarks.tasks.spectrum import Spectrum
from benchmarks.tasks.synthetic_help import Help, Helped
from benchmarks.tasks.translation import Translation
from benchmarks.tasks.uncertainty import Uncertainty
from benchmarks.tasks.unusual import Unusual
from jaxdiff.config import override
from jaxdiff.data.errors import DataError
from jaxdiff.script import use_compilation_cache


@dataclass(frozen=True)
class Baselines:
    """Choose the parameters of the classical methods on dev."""

    data: Path
    """The BBBC039 folder, with {train,dev}/{images,masks}."""
    num: int = FEW
    """Fields of dev."""
    only: tuple[Task, ...] = ("segmentation", "denoising", "super-resolution")
    """Tasks."""


@dataclass(frozen=True)
class Regression:
    """Train the regression that goes with a diffusion run."""

    config: Path
    """The run's folder, or its config file with, behind `--`, the options that the run was given."""
    minutes: float = 9.0
    """Of this session; the same command continues."""


@dataclass(frozen=True)
class Smears:
    """Write pairs of green and colour of the training images, for configs/blood_translation.py."""

    data: Path
    """The BCCD folder."""
    out: Path
    """Gets fit/{colour,green}."""


@dataclass(frozen=True)
class Report:
    """Write the section on tasks of docs/evidence.md from tasks.json."""


Part = (
    Baselines
    | Regression
    | Blood
    | Calls
    | Classification
    | Evaluate
    | Help
    | Helped
    | Uncertainty
    | Unusual
    | Labelled
    | Smears
    | Spectrum
    | Translation
    | Report
)


def main(part: Part, more: list[str]) -> None:
    """One part; `more`: what stood behind `--`."""
    match part:
        case Baselines():
            for task in part.only:
                if task == "segmentation":
                    choose_baselines.segmentation(part.data, part.num)
                else:
                    choose_baselines.images(part.data, part.num, task)
        case Regression():
            print(regression.train(override(regression.config_of(part.config), more), part.minutes))
        case Blood():
            classification.write(part)
        case Classification():
            classification.measure(part)
        case Calls():
            calls.measure(part)
        case Evaluate():
            evaluate.evaluate(part)
        case Uncertainty():
            uncertainty.measure(part)
        case Smears():
            smears.write(part.data, part.out)
        case Translation():
            translation.measure(part)
        case Unusual():
            unusual.measure(part)
        case Labelled():
            labelled.measure(part)
        case Help():
            synthetic_help.prepare(part)
        case Helped():
            synthetic_help.measure(part)
        case Spectrum():
            spectrum.measure(part)
        case Report():
            write_section(Path("docs/evidence.md"), "tasks", report.markdown())


if __name__ == "__main__":
    use_compilation_cache()
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        main(tyro.cli(Part, args=arguments[:split], description=__doc__), arguments[split + 1 :])  # type: ignore[arg-type]
    except (DataError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
