"""A folder of results that a killed run leaves in order, and that the same call goes on with.

OUT/NAME.SUFFIX          results of an image, made by a task
OUT/records/NAME.json    written last, with the checksum of the input and the sizes of the results: an image without it, or
                         with one that does not hold, is made again
OUT/summary.json         the options, from the start on; at the end what became of every image

Whoever writes there holds its lock (`jaxdiff.lock.only_writer`).
"""

import importlib.metadata
import json
import shutil
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxdiff.commands.folders.as_read import AsRead
from jaxdiff.data.errors import DataError
from jaxdiff.durable import read_json, write_json
from jaxdiff.lock import is_lock
from jaxdiff.places import check_places
from jaxdiff.plain import flat
from jaxdiff.schema import fields

FORMAT = 1
OF_RECORD = {
    "status": Literal["done"],
    "warnings": list,
    "numbers": dict,
    "seconds": float,
    "sha256": str,
    "results": dict[str, int],
    "blank": bool,
}
"""What a record holds besides names, which may be no text, as warnings may that quote them."""


@dataclass(frozen=True)
class ResultsFolder:
    """Results of many images, made with the same options."""

    out: Path
    suffixes: tuple[str, ...]
    """Of the files that make up the results of one image."""
    options: dict[str, Any]
    """JSON values that the results depend on."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Kinds of the numbers that the record of an image must have (`jaxdiff.schema`); others may be there."""

    @property
    def summary(self) -> Path:
        """Where the summary is."""
        return self.out / "summary.json"

    def claim(self, resume: bool) -> None:
        """Makes the folder, or with `resume` goes on in it.

        Raises DataError for a folder that is not empty without `resume`, that is not one of results, and, with every
        value that differs, one of other options.
        """
        if begun(self.out, self.summary, resume):
            self._check_same()
        self.summarise(complete=False)

    def _check_same(self) -> None:
        stored = read_json(self.summary)
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError(f"{self.summary} of another format", f"format {FORMAT}", "use its version of jaxdiff")
        if not isinstance(stored.get("options"), dict):
            raise DataError(f"{self.summary} without options", "those that it was begun with", "another --out")
        check_places(self.out, folders=["records"])
        check_options(self.out, stored["options"], self.options)

    def summarise(self, **values: Any) -> None:
        """Writes the summary anew."""
        version = importlib.metadata.version("jaxdiff")
        write_json(self.summary, {"format": FORMAT, "jaxdiff": version, "options": self.options, **values})

    def finished(self, name: str, source: Path) -> dict[str, Any] | None:
        """The record of an image, if it is as it was written, the results are all there in their sizes, and the input is
        the same."""
        if not self.record(name).is_file():
            return None
        try:
            record = read_json(self.record(name))
            fields(record, OF_RECORD, optional=["blank"])
            fields(record["numbers"], self.numbers, "numbers")
            intact = record.get("crc32") == _seal(record) and record.get("name") == name and "file" in record
            same = intact and record["results"] == self._sizes(name) and record["sha256"] == AsRead(source).sha256
            return record if same else None
        except (OSError, ValueError, RecursionError):  # no record, a result or the input that is missing
            return None

    def others(self, names: Collection[str]) -> list[str]:
        """Images that were finished here and are none of `names`: their inputs are gone."""
        finished = {path.name.removesuffix(".json") for path in self.record("*").parent.glob("*.json")}
        return sorted(finished - {*names} - {""})

    def clear(self, name: str) -> None:
        """Removes what an earlier try has left of an image, its record first."""
        _remove(self.record(name))
        for path in self.results(name):
            for old in (path, *self.out.glob(f".{_literal(path.name)}.*.partial")):
                _remove(old)

    def finish(self, name: str, source: AsRead, record: dict[str, Any]) -> dict[str, Any]:
        """Writes the record of an image that was made of `source`, and returns it as written.

        Raises RuntimeError where a result is missing or empty.
        """
        if missing := [path.name for path in self.results(name) if not path.exists()]:
            raise RuntimeError(f"{', '.join(missing)} was not written")
        sizes = self._sizes(name)
        if empty := [suffix for suffix, size in sizes.items() if size == 0]:
            raise RuntimeError(f"{', '.join(name + suffix for suffix in empty)} was written without a byte")
        record = {**record, "sha256": source.sha256, "results": sizes}
        record["crc32"] = _seal(record)
        write_json(self.record(name), record)
        return record

    def _sizes(self, name: str) -> dict[str, int]:
        """Bytes of each of an image's results, by suffix; those of a folder's files and its number of files, added up."""
        return {suffix: _size(path) for suffix, path in zip(self.suffixes, self.results(name))}

    def results(self, name: str) -> list[Path]:
        """The files of an image's results."""
        return [self.out / (name + suffix) for suffix in self.suffixes]

    def record(self, name: str) -> Path:
        """The file that says an image is done."""
        return self.out / "records" / f"{name}.json"


def begun(out: Path, record: Path, resume: bool) -> bool:
    """Whether there are results in `out` to go on with, of which `record` is the file that describes them.

    Raises DataError for a folder that is not empty without `resume`, and with it for one without a record.
    """
    if not (out.exists() and (not out.is_dir() or not all(map(_passing, out.iterdir())))):
        return False
    if not resume:
        fix = "another --out" + (", or --resume to go on" if record.is_file() else "")
        raise DataError(f"--out {out}, which is not empty", "a new or empty folder", fix)
    if not record.is_file():
        raise DataError(f"--resume in {out}, without {record.name}", "results begun before", "another --out")
    return True


def check_options(out: Path, before: Any, now: Any) -> None:
    """Raises DataError, with every value that differs, where results were begun with other options."""
    old, new = flat(before), flat(now)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if names:
        lines = [f"{name}: {old.get(name)} before, {new.get(name)} now" for name in names]
        raise DataError(f"--resume in {out} with other options:", "the same", "set them back, or another --out", lines)


def _passing(path: Path) -> bool:
    """Whether something in a folder makes it no full one: the lock, and what killed processes leave."""
    return path.name.endswith(".partial") or is_lock(path)


def _seal(record: dict[str, Any]) -> int:
    """Checksum of a record's values."""
    values = {name: value for name, value in record.items() if name != "crc32"}
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    files = [file for file in path.rglob("*") if file.is_file()]
    return len(files) + sum(file.stat().st_size for file in files)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _literal(name: str) -> str:
    """For `glob`: microscopes write brackets into names."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
