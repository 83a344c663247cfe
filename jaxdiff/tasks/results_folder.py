"""A folder of results that a killed run leaves in order, and that the same call goes on with.

OUT/NAME.SUFFIX          results of an image, made by a task
OUT/records/NAME.json    written last: an image without it is made again
OUT/summary.json         the options, from the start on; at the end what became of every image
"""

import functools
import importlib.metadata
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdiff.data.errors import DataError
from jaxdiff.durable import read_json, sha256, write_json
from jaxdiff.training.plain import flat

FORMAT = 1


@dataclass(frozen=True)
class ResultsFolder:
    """Results of many images, made with the same options."""

    out: Path
    suffixes: tuple[str, ...]
    """Of the files that make up the results of one image."""
    options: dict[str, Any]
    """JSON values that the results depend on."""

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
        check_options(self.out, stored["options"], self.options)

    def summarise(self, **values: Any) -> None:
        """Writes the summary anew."""
        version = importlib.metadata.version("jaxdiff")
        write_json(self.summary, {"format": FORMAT, "jaxdiff": version, "options": self.options, **values})

    def finished(self, name: str, source: Path) -> dict[str, Any] | None:
        """The record of an image, if its results are all there and were made from this very file."""
        if not self.record(name).is_file() or not all(path.exists() for path in self.results(name)):
            return None
        record = read_json(self.record(name))
        return record if record["sha256"] == _digest(source) else None

    def clear(self, name: str) -> None:
        """Removes what an earlier try has left of an image, its record first."""
        self.record(name).unlink(missing_ok=True)
        for path in self.results(name):
            for old in (path, *self.out.glob(f".{_literal(path.name)}.*.partial")):
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)

    def finish(self, name: str, source: Path, record: dict[str, Any]) -> dict[str, Any]:
        """Writes the record of an image, and returns it as written. Raises RuntimeError where a result is missing."""
        missing = [path.name for path in self.results(name) if not path.exists()]
        if missing:
            raise RuntimeError(f"{', '.join(missing)} was not written")
        record = {**record, "sha256": _digest(source)}
        write_json(self.record(name), record)
        return record

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
    if not (out.exists() and (not out.is_dir() or any(not p.name.endswith(".partial") for p in out.iterdir()))):
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
        lines = "".join(f"\n  {name}: {old.get(name)} before, {new.get(name)} now" for name in names)
        raise DataError(
            f"--resume in {out} with other options:{lines}\n", "the same", "set them back, or another --out"
        )


def _digest(path: Path) -> str:
    """Checksum of an input, computed once for the images of one file."""
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _digest_of(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def _literal(name: str) -> str:
    """For `glob`: microscopes write brackets into names."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
