"""data.json of a run folder: the images that the run is trained on and validated on, known again when it goes on."""

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxdiff.data.config import Synthetic
from jaxdiff.data.dataset import FITTED, Dataset, evenly
from jaxdiff.data.fingerprint import Fingerprint
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.source import ImagesOf
from jaxdiff.durable import read_json, write_json
from jaxdiff.malformed import within
from jaxdiff.schema import fields
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.restore import steps
from jaxdiff.training.run_folder import read_run

NAME = "data.json"
FORMAT = 1
LIMIT = 2**31
"""Bytes of the file, at most: some 150 for each image."""
SHOWN = 20
"""Differences that are recorded where a run goes on with other data."""
FIX = "put the data back as they were; or --other-data, which goes on with these and records it; or another --name"


def read_known(folder: Path) -> Fingerprint | None:
    """The fingerprint of the data of a run; None for a run of before there were any, or of synthetic images.

    Raises ValueError, naming the field, for a file that cannot be.
    """
    path = folder / NAME
    if not path.exists():
        return None
    with within(path, "remove it: the run then takes the data as they are"):
        values = fields(read_json(path, LIMIT), {"format": int, "data": dict[str, Any]})
        if values["format"] != FORMAT:
            raise ValueError(f"got format {values['format']}; expected {FORMAT}; to fix: use the jaxdiff that wrote it")
        return Fingerprint.from_json(values["data"])


@dataclass(frozen=True)
class KnownData:
    """The data of a run, of now and of before."""

    now: Fingerprint | None
    """What is recorded from now on; None for synthetic images, which their parameters make."""
    before: Fingerprint | None
    """What the run has recorded; None for a new one, or one of before there were fingerprints."""
    resumed: bool

    @property
    def other(self) -> bool:
        """Whether the run goes on with data that are not those of before."""
        return self.before is not None and self.now is not self.before

    @property
    def accepted(self) -> bool:
        """Whether the run has ever gone on with other data."""
        return self.now is not None and bool(self.now.accepted)

    @property
    def checksum(self) -> int | None:
        """The same on all hosts that see the same data."""
        return None if self.now is None else zlib.crc32(json.dumps(self.now.to_json(), sort_keys=True).encode())

    def store(self, folder: Path, config: TrainConfig) -> None:
        """Writes what is new, and into run.json where data are that may be elsewhere."""
        if self.now is not None and self.now is not self.before:
            write_json(folder / NAME, {"format": FORMAT, "data": self.now.to_json()})
        if self.resumed and config.other_data:
            stored = read_run(folder)
            moved = {**stored["config"], "data": config.to_json()["data"]}
            write_json(folder / "run.json", {**stored, "config": moved})

    def notes(self) -> list[str]:
        """What a person should know, before the run goes on."""
        if self.other and self.now is not None:
            entry = self.now.accepted[-1]
            return [
                f"the run goes on with other data, {entry['differences']} differences, the first: {entry['first'][0]}"
            ]
        if self.resumed and self.before is None and self.now is not None:
            return [f"the run did not say which images it was begun with: {NAME} records those of now"]
        return []


def know(config: TrainConfig, folder: Path, data: Dataset, before: Fingerprint | None, resumed: bool) -> KnownData:
    """Compares an open data set with what the run has recorded of its own.

    Raises ValueError, naming the first difference, unless `config.other_data`.
    """
    now = _fingerprint(config, data)
    differences = [] if before is None or now is None else before.differences(now)
    if before is None or now is None or not differences:
        return KnownData(now if before is None else before, before, resumed)
    if not config.other_data:
        more = f" (and {len(differences) - 1} more differences)" if len(differences) > 1 else ""
        raise ValueError(
            f"got data that are not those of the run in {folder}: {differences[0]}{more}; expected the same files, sizes and "
            f"pixels; to fix: {FIX}"
        )
    step = max(steps(folder / "checkpoints"), default=None)
    entry = {"step": step, "differences": len(differences), "first": differences[:SHOWN]}
    return KnownData(replace(now, accepted=(*before.accepted, entry)), before, resumed)


def _fingerprint(config: TrainConfig, data: Dataset) -> Fingerprint | None:
    """Where not all pixels were read (sets that an older jaxdiff prepared, a person's own kind of data) the statistics of
    the training part are taken, too."""
    if isinstance(config.data, Synthetic) or data.recorded is None:
        return None
    fingerprint = Fingerprint.of(*data.recorded)
    if fingerprint.read:
        return fingerprint
    images = ImagesOf(evenly(data.recorded[0], FITTED))
    return replace(fingerprint, normaliser=Normaliser.fit(images, data.map).to_json())
