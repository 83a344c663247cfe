"""`python -m benchmarks.restoration PART`: deconvolution by a prior beside classical methods, known truth.

    choose    --kind K [--data PATH/bbbc039] --run RUN     settings of all methods, on dev
    measure   --kind K [--data PATH/bbbc039] --run RUN [--split val]
    large     --data PATH/bbbc039                          the command on one large image
    planes    --out FOLDER                                 what configs/planes.py trains on for `volumes`
    volumes   --run RUN [--split val]                      equal voxels from thick slices
    direct    --data PATH/bbbc039 --run RUN [--split val]  denoising by `--direct`
    speed     --run RUN                                    a sample of a whole image against its network calls
    picture   --data PATH/bbbc039 --run RUN                docs/images/restoration.png
    report                                                 the section of docs/evidence.md

val is measured once: what is stored of it stays unless --again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.evidence.report import write_section
from benchmarks.restoration import direct, large, measure, picture, report, speed, volumes
from benchmarks.restoration.direct import Direct
from benchmarks.restoration.large import Large
from benchmarks.restoration.measure import Choose, Measure
from benchmarks.restoration.picture import Picture
from benchmarks.restoration.speed import Speed
from benchmarks.restoration.volumes import Planes, Volumes
from jaxdiff.data.errors import DataError
from jaxdiff.script import use_compilation_cache


@dataclass(frozen=True)
class Report:
    """Write the section on restoration of docs/evidence.md."""


Part = Choose | Measure | Direct | Large | Planes | Volumes | Speed | Picture | Report


def main(part: Part) -> None:
    """One part."""
    match part:
        case Choose():
            measure.choose(part)
        case Measure():
            measure.measure(part)
        case Direct():
            direct.measure(part)
        case Large():
            large.measure(part)
        case Planes():
            volumes.planes(part)
        case Volumes():
            volumes.measure(part)
        case Speed():
            speed.measure(part)
        case Picture():
            picture.draw(part)
        case Report():
            write_section(Path("docs/evidence.md"), "restoration", report.markdown())


if __name__ == "__main__":
    use_compilation_cache()
    try:
        main(tyro.cli(Part, description=__doc__))  # type: ignore[arg-type]
    except (DataError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
