"""What all of `jaxdiff calibrate` share: the run, the held-out images, and the file that is written once."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxdiff.commands.reader_options import ReaderOptions
from jaxdiff.data.errors import DataError
from jaxdiff.loading import load
from jaxdiff.lock import only_writer_of
from jaxdiff.model import Model
from jaxdiff.shipped import folder_of
from jaxdiff.training.run_folder import read_run


@dataclass(frozen=True, kw_only=True)
class HeldOutOptions(ReaderOptions):
    """Options of every calibration."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    input: Path
    """Folder of images that the model was not trained on: of a run by class with one subfolder for each class, named as in
    training."""
    axes: str | None = None
    """Axes of files whose metadata do not say, such as ZYX, CYX or YXS."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    seed: int = 0
    """Of the noise."""
    skip_unreadable: bool = False
    """Leave out damaged and blank files, and name them, where otherwise nothing is calibrated."""
    replace: bool = False
    """Put the new calibration in the place of an earlier one."""

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Model]:
        """The run's model, while this process alone writes RUN/`name`.

        Raises DataError where the file is there and not to be replaced, LockedError where another process writes it.
        """
        run = folder_of(self.run)
        if not (run / "run.json").is_file():
            read_run(run)  # says what there is instead, and makes no folder
        with only_writer_of(run / name):
            model = load(run, self.checkpoint, allow=self.allow)
            if (run / name).exists() and not self.replace:
                raise DataError(
                    f"{run / name}, which is there", "a run without a calibration", "--replace, or move it away"
                )
            yield model
