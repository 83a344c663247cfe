"""Shards: the consecutive images of one file, and the record that says that the file is finished."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.durable import read_json, sha256, write_json

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
    """A file of a shard: path relative to the folder, bytes, SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What is known of a finished shard; as JSON in `shards/00012.json`, written after the shard's files."""

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

    def save(self, out: Path) -> None:
        """Writes it: from here on the shard is finished."""
        write_json(record_path(out, self.shard), asdict(self))

    def problem(self, out: Path, verify: bool) -> str | None:
        """Why the shard has to be made again, or None: a file is missing, has another size or, on `verify`, bytes."""
        for file in self.files:
            path = out / file.path
            if not path.is_file():
                return f"{file.path} is missing"
            if path.stat().st_size != file.bytes:
                return f"{file.path} has {path.stat().st_size} bytes instead of {file.bytes}"
            if verify and sha256(path) != file.sha256:
                return f"{file.path} has another checksum"
        return None


def record_path(out: Path, shard: int) -> Path:
    """Where the record of a shard lies."""
    return out / RECORDS / f"{shard:05d}.json"


def records(out: Path) -> Iterator[Record]:
    """Those in the folder, by shard. Raises ValueError for an unreadable one."""
    found = [(int(p.stem), p) for p in (out / RECORDS).glob("*.json") if re.fullmatch(r"\d{5,}", p.stem)]
    for _, path in sorted(found):
        values: dict[str, Any] = read_json(path)
        try:
            yield Record(**{**values, "files": [Written(**file) for file in values["files"]]})
        except (KeyError, TypeError) as error:
            raise ValueError(f"got {path} with other fields ({error}); expected a record; to fix: remove it") from error
