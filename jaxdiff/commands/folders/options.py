"""The options that all `sample.py TASK --input FOLDER --out FOLDER` commands share, and what follows from them."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from jaxtyping import PRNGKeyArray

from jaxdiff.bulk.job import parameters_checksum
from jaxdiff.commands.folders.over_folder import over_folder
from jaxdiff.commands.reader_options import ReaderOptions
from jaxdiff.commands.solver_options import SolverOptions
from jaxdiff.data.info import DataInfo
from jaxdiff.loading import load
from jaxdiff.model import Model
from jaxdiff.seeds import key_of
from jaxdiff.shipped import folder_of, shipped
from jaxdiff.training.run_folder import read_run

SeededWork = Callable[[PRNGKeyArray, np.ndarray, DataInfo, Path], Mapping[str, str | float]]
"""(key, image, what is known of it, OUT/NAME without ending) -> numbers for the summary; writes the results."""


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(ReaderOptions):
    """Options of every task that turns a folder of images into a folder of results."""

    input: Path
    """Folder of images (or one image file)."""
    out: Path
    """Folder for the results: new or empty, or with --resume that of the same command."""
    run: Path | None = None
    """Folder of the run, or the name of a model that comes with jaxdiff; default the one for the task, where there is one."""
    seed: int = 0
    """The noise of an image depends on this and its name alone."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    axes: str | None = None
    """Axes of files whose metadata do not say, such as ZYX, CYX or YXS."""
    resume: bool = False
    """Go on in --out: images whose results are there are not made again."""

    def model(self, task: str) -> Model:
        """The model of `run`, or the shipped one for `task`."""
        return load(shipped(task) if self.run is None else self.run, self.checkpoint, allow=self.allow)


@dataclass(frozen=True, kw_only=True)
class FolderOptions(SolverOptions, ImagesOptions):
    """Options of a task whose results are made of samples."""

    samples: int = 8
    """Samples for each image; the uncertainty is their disagreement."""
    calls: int = 8
    """Network calls for each sample."""

    def __post_init__(self):
        super().__post_init__()
        if self.samples < 1:
            raise ValueError(f"got samples={self.samples}; expected at least 1; to fix: --samples 1 or more")


def task_over_folder(
    options: ImagesOptions,
    model: Model,
    suffixes: tuple[str, ...],
    work: SeededWork,
    *,
    numbers: Mapping[str, Any] | None = None,
    expected: DataInfo | None = None,
    also: Mapping[str, Any] | None = None,
    complete: Callable[[list[dict[str, Any]]], None] = lambda records: None,
) -> int:
    """`work` for every image of `options.input`, see `over_folder`; the exit status.

    expected: what the images are; default the model's image condition. also: what the results depend on beside the
    options, plain values. numbers and complete: see `over_folder`.
    """
    of_model = {"run": str(model.run), "checkpoint": model.step, "parameters": parameters_checksum(model)}
    describe = {**asdict(options), **of_model, **(also or {})}
    for name in ("resume", "out", "input", "allow"):  # inputs are known by their checksums, wherever they lie
        del describe[name]
    if not options.readers:
        del describe["readers"]
    key = key_of(options.seed)

    def one(image: np.ndarray, info: DataInfo, name: str) -> Mapping[str, str | float]:
        own = jax.random.fold_in(key, zlib.crc32(name.encode()))
        return work(own, image, info, options.out / name)

    return over_folder(
        options.input,
        options.out,
        one,
        suffixes=suffixes,
        numbers=numbers or {},
        resume=options.resume,
        expected=model.inputs.info if expected is None else expected,
        axes=options.axes,
        readers=options.all_readers,
        describe=describe,
        complete=complete,
    )


def parsed(cls: type, args: list[str], prog: str) -> Any:
    """The options of a task's command line."""
    return tyro.cli(cls, prog=prog, args=args)


def by_run(options: Any, of_pairs: type, of_images: type) -> Any:
    """The options of a command that does one task with two kinds of runs, as those of the kind that `options.run` is of.

    options: all of both, None where their defaults differ. of_pairs: of a run that was trained for the task, or the shipped
    one; of_images: of one of images alone. Raises ValueError for an option that the run has no use for.
    """
    run = None if options.run is None else folder_of(options.run)
    values = {one: getattr(options, one.name) for one in fields(options)}
    chosen = {one.name: value for one, value in values.items() if value != one.default}
    names = {one.name for one in fields(of_pairs)}
    other = [f"--{name.replace('_', '-')}" for name in chosen if name not in names]
    if run is not None and (run / "run.json").is_file():
        trained = read_run(run).get("pairing") is not None
    else:
        trained = run is None or not other  # of a folder that is no run loading says so
    if trained and other:
        raise ValueError(
            f"got {', '.join(other)} with {'the model that comes with jaxdiff' if run is None else run}, which was trained "
            "for this task; expected a run of images alone; to fix: leave the option out, or --run of such a run"
        )
    return (of_pairs if trained else of_images)(**chosen)
