"""`jaxdiff usual RUN --segmented FOLDER`: what segmentations of known images look like, kept beside a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdiff.bulk.job import parameters_checksum
from jaxdiff.data.errors import DataError
from jaxdiff.durable import read_json
from jaxdiff.loading import load
from jaxdiff.lock import only_writer_of
from jaxdiff.malformed import within
from jaxdiff.schema import fields
from jaxdiff.shipped import folder_of
from jaxdiff.tasks.usual import FEWEST, NAME, Look, Usual
from jaxdiff.training.run_folder import read_run

OPTIONS = {
    "samples": int,
    "calls": int,
    "solver": str | None,
    "order": int | None,
    "eta": float | None,
    "solver_fields": list[str],
    "posterior_std": float | None,
    "fuse": str,
    "dynamic": float,
    "least": int,
    "diameter": str | None,
    "checkpoint": int | None,
    "parameters": str,
}
"""Of `sample.py segment`, as its summary has them."""


@dataclass(frozen=True, kw_only=True)
class UsualImages:
    """Keep what images that a run is known to segment well look like; `sample.py segment` then says which others do not."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    segmented: Path
    """What `sample.py segment --run RUN --out FOLDER` made of 20 images or more that the model was not trained on, and that
    somebody has looked at."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    replace: bool = False
    """Put it in the place of an earlier one."""


def keep(options: UsualImages) -> Usual:
    """Reads the summary of the results and saves what is usual in the run.

    Raises DataError where there is one already, or the results are of another task or model, of one sample, or of fewer than
    20 images with light.
    """
    run = folder_of(options.run)
    if not (run / "run.json").is_file():
        read_run(run)  # says what there is instead, and makes no folder
    looks, stored = _looks(options.segmented / "summary.json")
    with only_writer_of(run / NAME):
        if (run / NAME).exists() and not options.replace:
            raise DataError(f"{run / NAME}, which is there", "a run without it", "--replace, or move it away")
        model = load(run, stored["checkpoint"], allow=options.allow)
        if parameters_checksum(model) != stored["parameters"]:
            raise DataError(
                f"{options.segmented} of {stored.get('run')}, whose parameters are others than those of {run}",
                "results of this run",
                f"segment with --run {run}",
            )
        usual = Usual(
            doubt=tuple(float(one["doubt"]) for one in looks),
            contrast=tuple(float(one["contrast"]) for one in looks),
            settings=settings_of(stored),
            checkpoint=stored["checkpoint"],
            parameters=stored["parameters"],
        )
        usual.save(run)
    return usual


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What looks depend on, of the options of `sample.py segment`, as plain values."""
    same = {name: options[name] for name in ("samples", "calls", "solver", "order", "eta", "fuse", "dynamic", "least")}
    return same | {
        "solver_fields": list(options["solver_fields"]),
        "posterior_std": 1.0 if options["posterior_std"] is None else options["posterior_std"],
        "diameter": "estimated" if options["diameter"] is None else "given",
    }


def _looks(summary: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The numbers of all images with light in a summary of results, and their options. Raises DataError, naming the file."""
    if not summary.is_file():
        raise DataError(f"{summary.parent} without summary.json", "results of sample.py segment", "correct the path")
    with within(summary, "segment the images anew"):
        stored = fields(read_json(summary), {"options": dict, "complete": bool})
        if not stored["complete"]:
            raise DataError(f"{summary} of a command that was stopped", "all of its images", "finish it with --resume")
        records = [fields(one, {"status": str}) for one in fields(stored, {"files": list})["files"]]
        done = [one for one in records if one["status"] == "done" and not one.get("blank")]
        if not all({*Look._fields} <= {*one.get("numbers", ())} for one in done) or "fuse" not in stored["options"]:
            raise DataError(
                f"{summary} without doubt and contrast", "segmentations of 2 samples or more", "--samples 8"
            )
        looks = [fields(one["numbers"], {"doubt": float, "contrast": float}, "numbers") for one in done]
        options = fields(stored["options"], OPTIONS, "options")
    if len(looks) < FEWEST:
        raise DataError(f"{len(looks)} images with light in {summary.parent}", f"{FEWEST} or more", "segment more")
    return looks, options


def main(args: list[str], prog: str = "jaxdiff usual") -> int:
    """The command: options from `args`; exit status."""
    options = tyro.cli(UsualImages, prog=prog, args=args)
    usual = keep(options)
    print(
        f"{folder_of(options.run) / NAME}: {len(usual.doubt)} images, doubt up to {max(usual.doubt):.3g} bits, contrast from "
        f"{min(usual.contrast):.3g}; said of other images with --samples {usual.settings['samples']} --calls "
        f"{usual.settings['calls']}"
    )
    return 0
