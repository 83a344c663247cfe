"""Shards: the consecutive images of one file, and the record that says that the file is finished."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from jaxdiff.durable import read_json, sealed, sha256, unsealed, write_json
from jaxdiff.malformed import malformed, within
from jaxdiff.schema import dataclass_of

RECORDS = "shards"


@dataclass(frozen=True)
class Shard:
    """Images `first` to `first + num - 1`."""

    index: int
    first: int
    num: int


def shard_of(index: int, num: int, size: int) -> Shard:
    """Shard `index` of `num` images in shards of `size`; the last may hold fewer."""
    return Shard(index, index * size, min(size, num - index * size))


@dataclass
class Filled:
    """A shard's images in the data's units and dtype, as they come from the device."""

    shard: Shard
    images: np.ndarray
    """(num, *spatial, channels); 0 where an image is not finite and the dtype has no NaN."""
    labels: np.ndarray | None
    """(num,) int32, or None."""
    finite: np.ndarray
    """(num,) bool."""
    saturated: int = 0
    """Values beyond the dtype's range, which became its end."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Written:
    """A file of a shard: path relative to the folder and in it, bytes, SHA-256. Raises ValueError for anything else."""

    path: str
    bytes: int
    sha256: str

    def __post_init__(self):
        inside = PurePosixPath(self.path)
        if inside.is_absolute() or ".." in inside.parts or not inside.parts:
            raise malformed("path", self.path, "a file in the folder")
        if self.bytes < 0 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise malformed("bytes and sha256", [self.bytes, self.sha256], "a size and 64 hexadecimal digits")

    @classmethod
    def of(cls, out: Path, path: str) -> "Written":
        """The file `path` in the folder, as it is now."""
        return cls(path, (out / path).stat().st_size, sha256(out / path))

    def problem(self, out: Path, verify: bool) -> str | None:
        """Why the file is not the one that was written, or None: it is missing, has another size or, on `verify`, bytes."""
        path = out / self.path
        if not path.is_file():
            return f"{self.path} is missing"
        if path.stat().st_size != self.bytes:
            return f"{self.path} has {path.stat().st_size} bytes instead of {self.bytes}"
        return f"{self.path} has another checksum" if verify and sha256(path) != self.sha256 else None


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a finished shard; as JSON in `shards/00012.json`, with a checksum of its own, written after
    the shard's files."""

    shard: int
    first: int
    num: int
    batch: int
    """Images in one program on a device, which the last digits of the images depend on."""
    files: list[Written]
    not_finite: list[int] = field(default_factory=list)
    saturated: int = 0
    payload: int = 0
    """Bytes of the records of an array_record file before compression."""
    seconds: float = 0.0
    device: str = ""

    def __post_init__(self):
        if min(self.shard, self.first, self.num, self.batch, self.saturated, self.payload, self.seconds) < 0:
            raise malformed("the numbers of a record", asdict(self), "none below 0")
        if any(not self.first <= i < self.first + self.num for i in self.not_finite):
            raise malformed("not_finite", self.not_finite, f"images {self.first} to {self.first + self.num - 1}")

    def save(self, out: Path) -> None:
        """Writes it: from here on the shard is finished."""
        write_json(record_path(out, self.shard), sealed(asdict(self)))

    def problem(self, out: Path, shard: Shard, files: Sequence[str], verify: bool) -> str | None:
        """Why the shard has to be made again, or None: the record is of other images or of other files than the shard's
        `files`, or a file is not the one that was written."""
        name = record_path(out, shard.index).name
        if (self.first, self.num) != (shard.first, shard.num):
            return f"{name} is of images {self.first} to {self.first + self.num - 1}"
        if (own := [file.path for file in self.files]) != list(files):
            return f"{name} names {', '.join(own[:4]) or 'no files'} instead of {', '.join(files)}"
        return next(filter(None, (file.problem(out, verify) for file in self.files)), None)


def record_path(out: Path, shard: int) -> Path:
    """Where the record of a shard lies."""
    return out / RECORDS / f"{shard:05d}.json"


def records(out: Path) -> Iterator[ShardRecord]:
    """The readable ones in the folder, by shard: one that is damaged is none, and its images are made again."""
    numbered = [(int(p.stem), p) for p in (out / RECORDS).glob("*.json") if re.fullmatch(r"\d{5,}", p.stem)]
    for _, path in sorted(numbered):
        with contextlib.suppress(ValueError, OSError):
            yield read_record(path)


def read_record(path: Path) -> ShardRecord:
    """The record in a file. Raises ValueError or OSError where it is none."""
    with within(path, "remove it, and its images are made again"):
        if not path.is_file():
            raise malformed("the record", path.name, "a file")
        record = dataclass_of(ShardRecord, unsealed(read_json(path)))
        if record_path(path.parents[1], record.shard) != path:
            raise malformed("shard", record.shard, f"{int(path.stem)}, as its name says")
    return record


def state(out: Path, shard: Shard, files: Sequence[str], verify: bool = False) -> ShardRecord | str | None:
    """The record of a shard that is finished; why one has to be made again; None where there is nothing of it.

    files: those of the shard, by their names in the folder. verify: with the checksums of the files, besides their sizes.
    """
    path = record_path(out, shard.index)
    if not os.path.lexists(path):
        return None
    try:
        record = read_record(path)
        return record.problem(out, shard, files, verify) or record
    except (ValueError, OSError) as error:
        return str(error)


def forget(out: Path, shard: int) -> None:
    """Removes the record of a shard: it is made again."""
    path = record_path(out, shard)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
