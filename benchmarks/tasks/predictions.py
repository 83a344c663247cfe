"""What methods make of fields, kept in files: a piece of work that is cut short goes on where it was."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.tasks.fields import Field

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Method:
    """A name, everything that its result depends on (JSON values), and what it makes of a field."""

    name: str
    settings: dict[str, Any]
    predict: Callable[[Field], Arrays]


@dataclass(frozen=True)
class Prediction:
    """What a method made of a field, and the seconds that it took."""

    arrays: Arrays
    seconds: float


class Pieces:
    """Predictions in a folder, and the time for new ones."""

    def __init__(self, folder: Path, minutes: float):
        """`minutes`: no field is begun later than that."""
        self.folder, self._end = folder, time.monotonic() + 60 * minutes

    def of(self, method: Method, fields: Sequence[Field], part: str) -> list[Prediction]:
        """The predictions of all fields; those that are not there are made, and kept.

        part: what distinguishes fields of one name, as the split and the size of a crop. Raises SystemExit with status
        75 when the time is up: the same command continues.
        """
        identity = json.dumps([method.name, method.settings, part], sort_keys=True)
        folder = self.folder / f"{method.name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        paths = [folder / f"{field.name}.npz" for field in fields]
        missing = [(field, path) for field, path in zip(fields, paths) if not path.is_file()]
        for done, (field, path) in enumerate(tqdm(missing, desc=method.name, unit="field", leave=False, disable=None)):
            if time.monotonic() > self._end:
                left = len(missing) - done
                print(
                    f"time is up, {left} fields of {method.name} are left; the same command continues", file=sys.stderr
                )
                raise SystemExit(75)
            began = time.perf_counter()
            arrays = method.predict(field)
            _save(path, {**arrays, "seconds": np.array(time.perf_counter() - began)})
        (folder / "settings.json").write_text(identity, encoding="utf-8")
        return [_read(path) for path in paths]


def _save(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    with aside.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    aside.replace(path)


def _read(path: Path) -> Prediction:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Prediction(arrays, float(arrays.pop("seconds")))


def typical_seconds(predictions: Sequence[Prediction]) -> float:
    """The median: the first field's time holds what is compiled."""
    return float(np.median([prediction.seconds for prediction in predictions]))
