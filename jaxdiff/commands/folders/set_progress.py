"""OUT/generate.json: what a training set is made with and how far it is, so that a killed run is gone on with."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.commands.folders.results_folder import begun, check_options
from jaxdiff.data.errors import DataError
from jaxdiff.durable import crc32, read_json, write_json
from jaxdiff.schema import fields

NAME = "generate.json"


@dataclass(frozen=True)
class Group:
    """Images that were made together and are on disk."""

    names: tuple[str, ...]
    bytes: tuple[int, ...]
    """Of all their files, in order."""
    saturated: int
    """Values beyond the range of their type."""
    crc32: int
    """Of the masks and start images of these and all groups before them."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Group":
        """From JSON. Raises KeyError, TypeError or ValueError where it is something else."""
        numbers = [values["saturated"], values["crc32"], *values["bytes"]]
        if not all(type(number) is int for number in numbers) or not all(isinstance(n, str) for n in values["names"]):
            raise TypeError("numbers or names that are none")
        return cls(tuple(values["names"]), tuple(values["bytes"]), values["saturated"], values["crc32"])


@dataclass
class SetProgress:
    """Written anew after each group of images, whose own files are then on disk."""

    path: Path
    about: dict[str, Any]
    """Plain values that the set depends on."""
    groups: list[Group] = field(default_factory=list)
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    """What was said of the images that are there."""
    _inputs_crc32: list[int] = field(default_factory=list, init=False)
    """Checksums of the groups that were asked for, as in `Group.crc32`."""
    _since: float = field(default_factory=time.perf_counter, init=False)

    @classmethod
    def of(cls, out: Path, resume: bool, about: dict[str, Any]) -> "SetProgress":
        """That of a new set, or with `resume` of one begun before.

        Raises DataError for a folder that is not empty without `resume`, with `resume` for one that is no set or was begun
        with other values, which it names; ValueError for a damaged file.
        """
        path = out / NAME
        if not begun(out, path, resume):
            return cls(path, about)
        stored = read_json(path)
        try:
            checked = fields(stored, {"groups": list, "seconds": float, "warnings": list})
            groups = [Group.of(values) for values in checked["groups"]]
            seconds, warned = checked["seconds"], [str(text) for text in checked["warnings"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}, not of this version ({type(error).__name__}: {error})", "a set that it began", "another --out"
            ) from error
        check_options(out, {name: stored.get(name) for name in about}, about)
        for partial in out.rglob(".*.partial"):
            partial.unlink(missing_ok=True)
        return cls(path, about, groups, seconds, warned)

    @property
    def images(self) -> int:
        """How many are on disk."""
        return sum(len(group.names) for group in self.groups)

    @property
    def saturated(self) -> int:
        """Values of them beyond the range of their type."""
        return sum(group.saturated for group in self.groups)

    def has(self, names: Sequence[str], files: Sequence[Path], *inputs: np.ndarray | None) -> bool:
        """Whether the next group, made for `inputs`, is on disk in `files`, each of its size; called for each in turn.

        Raises DataError where those on disk were made for others.
        """
        crc = self._inputs_crc32[-1] if self._inputs_crc32 else 0
        for array in inputs:
            if array is not None:
                crc = crc32(array, crc)
        self._inputs_crc32.append(crc)
        if len(self._inputs_crc32) > len(self.groups):
            return False
        group = self.groups[len(self._inputs_crc32) - 1]
        self._check(group.crc32 == crc and group.names == tuple(names))
        return group.bytes == _bytes(files)

    def add(self, names: Sequence[str], files: Sequence[Path], saturated: int, warnings: Sequence[str] = ()) -> None:
        """The group last asked for is on disk, in `files`."""
        at = len(self._inputs_crc32) - 1
        self.groups[at : at + 1] = [Group(tuple(names), _bytes(files), saturated, self._inputs_crc32[-1])]
        self.warnings = sorted({*self.warnings, *warnings})
        self.store()

    def end(self, **more: Any) -> None:
        """All are; more: plain values to keep. Raises DataError where those on disk were made for others."""
        self._check(len(self._inputs_crc32) == len(self.groups))
        self.store(complete=True, **more)

    def _check(self, same: bool) -> None:
        if not same:
            raise DataError(
                "other masks or start images than the set was begun with", "the same files", "another --out"
            )

    def store(self, complete: bool = False, **more: Any) -> None:
        """Writes the file."""
        now = time.perf_counter()
        self.seconds, self._since = round(self.seconds + now - self._since, 3), now
        counts = {"images": self.images, "saturated_values": self.saturated, "seconds": self.seconds}
        groups = [vars(group) for group in self.groups]
        values = {**self.about, **counts, "complete": complete, "warnings": self.warnings, **more, "groups": groups}
        write_json(self.path, values)


def _bytes(files: Sequence[Path]) -> tuple[int, ...]:
    """Of each file; −1 where there is none."""
    return tuple(file.stat().st_size if file.is_file() else -1 for file in files)
