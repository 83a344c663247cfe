"""`jaxdiff usual RUN --segmented FOLDER`: what segmentations of known images look like, kept beside a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxdiff.data.errors import DataError
from jaxdiff.durable import read_json
from jaxdiff.lock import only_writer_of
from jaxdiff.tasks.usual import NAME, Usual
from jaxdiff.training.run_folder import read_run


@dataclass(frozen=True, kw_only=True)
class UsualImages:
    """Keep what images that a run is known to segment well look like; `sample.py segment` then says which others do not."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    segmented: Path
    """What `sample.py segment --run RUN --out FOLDER` made of 20 images or more that the model was not trained on, and that
    somebody has looked at."""
    replace: bool = False
    """Put it in the place of an earlier one."""


def keep(options: UsualImages) -> Usual:
    """Reads the summary of the results and saves what is usual in the run.

    Raises DataError where there is one already, or the results are of another task, run, or of one sample.
    """
    read_run(options.run)  # says what there is instead, and makes no folder
    summary = options.segmented / "summary.json"
    if not summary.is_file():
        raise DataError(f"{options.segmented} without summary.json", "results of sample.py segment", "correct the path")
    stored = read_json(summary)
    files = [one.get("numbers", {}) for one in stored.get("files", ()) if one.get("status") == "done"]
    looks = [(one["doubt"], one["contrast"]) for one in files if {"doubt", "contrast"} <= {*one}]
    settings = stored.get("options", {})
    if not looks or not all(isinstance(number, int | float) for pair in looks for number in pair):
        raise DataError(f"{summary} without doubt and contrast", "a segmentation of 2 samples or more", "--samples 8")
    if Path(str(settings.get("run"))).resolve() != options.run.resolve():
        raise DataError(f"results of {settings.get('run')}", f"of {options.run}", "segment with this run")
    with only_writer_of(options.run / NAME):
        if (options.run / NAME).exists() and not options.replace:
            raise DataError(f"{options.run / NAME}, which is there", "a run without it", "--replace, or move it away")
        usual = Usual(
            doubt=tuple(float(doubt) for doubt, _ in looks),
            contrast=tuple(float(contrast) for _, contrast in looks),
            samples=settings["samples"],
            calls=settings["calls"],
            checkpoint=settings["checkpoint"],
        )
        usual.save(options.run)
    return usual


def main(args: list[str], prog: str = "jaxdiff usual") -> int:
    """The command: options from `args`; exit status."""
    options = tyro.cli(UsualImages, prog=prog, args=args)
    usual = keep(options)
    print(
        f"{options.run / NAME}: {len(usual.doubt)} images, doubt up to {max(usual.doubt):.3g} bits, contrast from "
        f"{min(usual.contrast):.3g}; said of other images with --samples {usual.samples} --calls {usual.calls}"
    )
    return 0
