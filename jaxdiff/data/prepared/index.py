"""What `jaxdiff prepare` leaves beside a data set: of which file each record is, and what was checked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import check_patch
from jaxdiff.data.sources.source import Seen
from jaxdiff.durable import read_json, write_json
from jaxdiff.malformed import malformed, within
from jaxdiff.schema import dataclass_of

NAME = "index.json"
LIMIT = 2**31
"""Bytes: some 50 for each record."""


@dataclass(frozen=True)
class Index:
    """The records of the split "train" in their order. Pixels are finite in all of them."""

    files: tuple[str, ...]
    file_of: tuple[int, ...]
    """For each record the number of its file."""
    shapes: tuple[tuple[int, ...], ...]
    """(*spatial) of each record."""
    blank: tuple[int, ...]
    """Records with one value in all pixels."""
    digests: tuple[str, ...] = ()
    """What each record is, in a few bytes (`jaxdiff.data.fingerprint.digest`); none in sets of before there were any."""

    def write(self, folder: Path) -> None:
        values = {"files": self.files, "file_of": self.file_of, "shapes": self.shapes, "blank": self.blank}
        values |= {"digests": self.digests}
        write_json(folder / NAME, values)

    @classmethod
    def read(cls, folder: Path) -> "Index | None":
        """None for a data set that has none. Raises ValueError, naming the field, for one that cannot be."""
        path = folder / NAME
        if not path.exists():
            return None
        with within(path, "prepare the data set again"):
            index = dataclass_of(cls, read_json(path, LIMIT))
            index._check()
            return index

    def _check(self) -> None:
        records, files = len(self.file_of), len(self.files)
        if len(self.shapes) != records or len({len(shape) for shape in self.shapes}) > 1:
            raise malformed(
                "shapes", f"of {len(self.shapes)} records", f"one of equal length for each of {records} in file_of"
            )
        if self.digests and len(self.digests) != records:
            raise malformed("digests", f"of {len(self.digests)} records", f"one for each of {records} in file_of")
        if any(size < 1 for shape in self.shapes for size in shape):
            raise malformed("shapes", min(self.shapes, key=min), "pixels along each axis, 1 or more")
        for name, numbers, end in (("file_of", self.file_of, files), ("blank", self.blank, records)):
            if wrong := [number for number in numbers if not 0 <= number < end]:
                raise malformed(name, wrong[0], f"a number from 0 to {end - 1}")

    def check(
        self, records: Sequence[int], info: DataInfo, patch: Sequence[int], binning: int, allow_blank: bool
    ) -> list[str]:
        """The file of each of these records, without reading them.

        Raises DataError for one that is smaller than the patch after binning, or blank unless `allow_blank`.
        """
        patch = check_patch(patch, info)
        factor = np.array([binning if axis in "YX" else 1 for axis in info.spatial])
        shapes = np.array([self.shapes[i] for i in records]) // factor
        for i in np.flatnonzero((shapes < patch).any(axis=1))[:1]:
            raise DataError(
                f"a record of {self.files[self.file_of[records[i]]]} of {tuple(shapes[i].tolist())} pixels (after binning)",
                f"at least the patch, {patch}",
                "use a smaller patch or less binning, or prepare without this file",
            )
        if blank := set(self.blank).intersection(records) if not allow_blank else None:
            raise DataError(
                f"{len(blank)} records with one value in every pixel",
                "images",
                "prepare without --allow-blank, or keep them with allow_blank",
            )
        return [self.files[self.file_of[i]] for i in records]

    def seen(self, records: Sequence[int]) -> list[Seen]:
        """What is known of each of these records."""
        files = [self.files[self.file_of[i]] for i in records]
        sizes = ("size=" + "x".join(map(str, self.shapes[i])) for i in records)
        digests = [self.digests[i] for i in records] if self.digests else sizes
        return [Seen(file, file, one) for file, one in zip(files, digests)]
