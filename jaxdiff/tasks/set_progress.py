"""OUT/generate.json: what a training set is made with and how far it is, so that a killed run is gone on with."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.durable import crc32, read_json, write_json
from jaxdiff.tasks.results_folder import begun, check_options

NAME = "generate.json"


@dataclass
class SetProgress:
    """Written anew after each group of images, whose own files are then on disk."""

    path: Path
    about: dict[str, Any]
    """Plain values that the set depends on."""
    images: int = 0
    """Images on disk."""
    saturated: int = 0
    """Values of them beyond the range of their type."""
    seconds: float = 0.0
    crc32: int = 0
    """Of the masks and start images that these were made for, in their order."""
    _seen: int = field(default=0, init=False)
    _since: float = field(default_factory=time.perf_counter, init=False)

    @classmethod
    def of(cls, out: Path, resume: bool, about: dict[str, Any]) -> "SetProgress":
        """That of a new set, or with `resume` of one begun before.

        Raises DataError for a folder that is not empty without `resume`, with `resume` for one that is no set or was begun
        with other values, which it names.
        """
        path = out / NAME
        if not begun(out, path, resume):
            return cls(path, about)
        stored = read_json(path)
        if not isinstance(stored, dict) or "crc32" not in stored:
            raise DataError(f"{path}, not of this version", "a set that this version began", "another --out")
        check_options(out, {name: stored.get(name) for name in about}, about)
        for partial in out.rglob(".*.partial"):
            partial.unlink(missing_ok=True)
        return cls(path, about, stored["images"], stored["saturated_values"], stored["seconds"], stored["crc32"])

    def has(self, first: int, *inputs: np.ndarray | None) -> bool:
        """Whether the images from number `first` on, made for `inputs`, are on disk; called for each group in turn.

        Raises DataError where those on disk were made for others.
        """
        before = self._seen
        for array in inputs:
            if array is not None:
                self._seen = crc32(array, self._seen)
        if first < self.images:
            return True
        self._check(before)
        return False

    def add(self, number: int, saturated: int) -> None:
        """So many more images are on disk."""
        self.images, self.saturated, self.crc32 = self.images + number, self.saturated + saturated, self._seen
        self.store()

    def end(self, **more: Any) -> None:
        """All are; more: plain values to keep. Raises DataError where those on disk were made for others."""
        self._check(self._seen)
        self.store(complete=True, **more)

    def _check(self, seen: int) -> None:
        if seen != self.crc32:
            raise DataError(
                "other masks or start images than the set was begun with", "the same files", "another --out"
            )

    def store(self, complete: bool = False, **more: Any) -> None:
        """Writes the file."""
        now = time.perf_counter()
        self.seconds, self._since = round(self.seconds + now - self._since, 3), now
        counts = {"images": self.images, "saturated_values": self.saturated, "seconds": self.seconds}
        write_json(self.path, {**self.about, **counts, "crc32": self.crc32, "complete": complete, **more})
