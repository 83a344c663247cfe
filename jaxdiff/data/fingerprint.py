"""Which images a data set is made of, in a few bytes each, so that a run that goes on knows its data again.

For each file: on which side of the split it is, its group there, the size of its images, and a checksum of the pixels of
image, mask, its classes and input and of the label, as they are decoded: a file that was touched or packed anew is the same.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.names import key
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.source import Chained, Seen, Source, Subset
from jaxdiff.schema import dataclass_of

TOLERANCE = 1e-4
"""Relative difference of a normaliser's numbers that other machines may make."""
PARTS = {"train": "trained on", "validation": "held out", "both": "of both parts"}


@dataclass(frozen=True)
class File:
    """What is known of a file of images."""

    part: str
    """ "train", "validation", or "both" where regions of it are."""
    group: str
    """Files of one group are on one side of the split."""
    parts: dict[str, str]
    """Size, and checksums, by what they are of; none where the images were not read."""


@dataclass(frozen=True)
class Fingerprint:
    """The files of a data set by name, and the statistics of its training part."""

    files: dict[str, File]
    normaliser: dict[str, Any] | None = None
    """As `Normaliser.to_json` writes it; None where it was not fitted."""
    accepted: tuple[dict[str, Any], ...] = field(default=())
    """What was other when the run went on with other data, and at which step."""

    @property
    def read(self) -> bool:
        """Whether the pixels of all files are known."""
        return bool(self.files) and all("image" in file.parts for file in self.files.values())

    @property
    def held_out(self) -> frozenset[str]:
        """Groups that are held out."""
        return frozenset(file.group for file in self.files.values() if file.part == "validation")

    @classmethod
    def of(cls, train: Source, validation: Source, normaliser: Normaliser | None = None) -> "Fingerprint":
        """Of the two parts of a data set; without files where their sources have not seen any."""
        of_train, of_validation = (getattr(part, "seen", None) or () for part in (train, validation))
        both = {one.file for one in of_train} & {one.file for one in of_validation}
        files: dict[str, File] = {}
        for part, of_files in (("train", of_train), ("validation", of_validation)):
            by_file: dict[str, list[Seen]] = {}
            for one in of_files:
                by_file.setdefault(one.file, []).append(one)
            for name, records in by_file.items():
                files[name] = File("both" if name in both else part, records[0].group, _together(records))
        return cls(files, None if normaliser is None else normaliser.to_json())

    def differences(self, now: "Fingerprint") -> list[str]:
        """What is other in `now`, one short text a difference, those of files in the order of their names."""
        lines = []
        for name in sorted({*self.files, *now.files}):
            old, new = self.files.get(name), now.files.get(name)
            if new is None and old is not None:
                lines.append(f"{name}, which was {PARTS[old.part]}, is missing")
            elif old is None:
                lines.append(f"{name} is new")
            elif old is not None and new is not None:
                lines += [f"{name} {text}" for text in _changed(old.parts, new.parts)]
        if not lines and self.normaliser is not None and now.normaliser is not None:
            for name in self.normaliser:
                old, new = self.normaliser[name], now.normaliser.get(name)
                if old != new and (name == "map" or not np.allclose(old, np.asarray(new), rtol=TOLERANCE, atol=1e-9)):
                    lines.append(f"the normaliser of the training images has {name} {new}, before {old}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; `from_json` is its inverse."""
        files = {name: {"part": f.part, "group": f.group, "parts": f.parts} for name, f in self.files.items()}
        return {"files": files, "normaliser": self.normaliser, "accepted": list(self.accepted)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Fingerprint":
        """The fingerprint that `to_json` wrote. Raises ValueError, naming the field, for anything else."""
        fingerprint = dataclass_of(cls, values, "")
        files = {key(name): replace(f, group=key(f.group)) for name, f in fingerprint.files.items()}
        return replace(fingerprint, files=files)


def as_held_out(train: Source, validation: Source, before: Fingerprint) -> tuple[Source, Source]:
    """The same records, those of groups that were held out `before` held out again, all others in the training part.

    Raises DataError where none of them is left, and where what was held out were regions and now are files, or the reverse.
    """
    now = Fingerprint.of(train, validation)
    old, new = ({file.part == "both" for file in one.files.values()} for one in (before, now))
    if True in {*old, *new} and old != new:
        raise DataError(
            "files to train and to validate on, where the run had regions of one, or the reverse",
            "held-out images that stay held out",
            "train on the data of the run, or choose another --name",
        )
    groups = before.held_out
    if not groups or groups == now.held_out:
        return train, validation
    every = Chained((train, validation))
    sides: tuple[list[int], list[int]] = ([], [])
    for i, one in enumerate(every.seen):
        sides[one.group in groups].append(i)
    if not all(sides):
        raise DataError(
            "data of which " + ("nothing was held out before" if sides[0] else "all was held out before"),
            "some of the images that the run was validated on, and some others",
            "add them, or choose another --name",
        )
    return Subset(every, sides[0]), Subset(every, sides[1])


def _together(records: Sequence[Seen]) -> dict[str, str]:
    """The parts of a file's records: those of its one, or their number and checksums of them all."""
    if len(records) == 1:
        return _parts(records[0].digest)
    parts: dict[str, str] = {"images": str(len(records))}
    every = [_parts(record.digest) for record in records]
    for name in {name for one in every for name in one}:
        values = [one.get(name, "") for one in every]
        same = len(set(values)) == 1 and name == "size"
        parts[name] = values[0] if same else _hex(zlib.crc32(" ".join(values).encode()))
    return parts


def _parts(digest: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in digest.split())


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[str]:
    for name in ("images", "size"):
        if name in old and name in new and old[name] != new[name]:
            what = "pixels" if name == "size" else "images"
            return [f"has {new[name]} {what}, before {old[name]}"]
    lines = []
    for name in ("image", "mask", "classes", "input", "label"):
        before, now = old.get(name), new.get(name)
        if before != now and ("image" in old) == ("image" in new):
            lines.append(f"has {'a' if before is None else 'no' if now is None else 'another'} {name}")
    return lines


def digest(record: Mapping[str, Any]) -> str:
    """The size and the checksums of a record, "size=520x696 image=1f2e3d4c mask=…"."""
    parts = ["size=" + "x".join(map(str, record["image"].shape))]
    parts += [f"{name}={_hex(_crc(record[name]))}" for name in ("image", "mask", "input") if name in record]
    if "classes" in record:
        parts.append(f"classes={_hex(zlib.crc32(repr(record['classes']).encode()))}")
    return " ".join([*parts, *([f"label={record['label']}"] if "label" in record else [])])


def _crc(array: np.ndarray) -> int:
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, zlib.crc32(array.dtype.name.encode()))


def _hex(crc: int) -> str:
    return f"{crc:08x}"
