"""The results: benchmarks/results/NAME.json, what was chosen and measured, and on which machine."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from jaxdiff.data.errors import DataError
from jaxdiff.durable import write_bytes

RESULTS = Path(__file__).parent / "results"


def _indented(result: Any) -> str:
    return json.dumps(result, indent=2)


@dataclass(frozen=True)
class Store:
    """The results of one name. What is not measured again stays as it was."""

    name: str
    packages: tuple[str, ...] = ()
    """Packages whose versions are kept beside those of `machine.PACKAGES`."""
    empty: Mapping[str, Any] = field(default_factory=dict)
    """What is read before anything was written."""
    folder: Path | None = None
    """Of the file; none: benchmarks/results."""
    dumps: Callable[[Any], str] = _indented

    @property
    def path(self) -> Path:
        """The file."""
        return (self.folder or RESULTS) / f"{self.name}.json"

    def machine(self) -> dict[str, Any]:
        """The machine as it is now: taken before a measurement, for its load."""
        return machine.describe(self.packages)

    def read(self) -> dict[str, Any]:
        """Everything that is stored."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else dict(self.empty)

    def write(self, result: Mapping[str, Any]) -> None:
        """Stores `result` in the place of everything: the old file or the new one is there, never a part of one."""
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        write_bytes(self.path, (self.dumps(result).rstrip("\n") + "\n").encode(), aside)
        print(f"written: {self.path}", flush=True)

    def get(self, keys: Sequence[str], fix: str) -> Any:
        """The entry under these keys. Raises DataError, naming `fix`, where it is not there yet."""
        values = self.read()
        for key in keys:
            if key not in values:
                raise DataError(f"no {' / '.join(keys)} in {self.path.name}", "it measured before", fix)
            values = values[key]
        return values

    def has(self, keys: Sequence[str]) -> bool:
        """Whether there is such an entry."""
        values: Any = self.read()
        for key in keys:
            if key not in values:
                return False
            values = values[key]
        return True

    def check_new(self, keys: Sequence[str], again: bool) -> None:
        """Raises DataError where something is stored that may be looked at once only, unless `again`."""
        if self.has(keys) and not again:
            raise DataError(
                f"{' / '.join(keys)}, measured on {self.get(keys, '')['machine']['date']}",
                "one look at val",
                "choose on dev; --again replaces the numbers, and docs/decisions.md should say why",
            )

    def put(self, keys: Sequence[str], entry: Mapping[str, Any]) -> None:
        """Stores an entry with the machine, unless it brings its own; other entries stay."""
        result = self.read()
        place = result
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = {"machine": self.machine(), **entry} if "machine" not in entry else dict(entry)
        self.write(result)
