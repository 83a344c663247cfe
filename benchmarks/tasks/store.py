"""benchmarks/results/tasks.json: what was chosen and measured, each entry with its machine; val is written once."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks import machine
from jaxdiff.data.errors import DataError

NAME = "tasks"
MACHINE_PACKAGES = ("scipy", "scikit-image", "tifffile")


def read(name: str = NAME) -> dict[str, Any]:
    """Everything that is stored."""
    path = machine.RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"format": 1}


def get(keys: Sequence[str], fix: str, name: str = NAME) -> Any:
    """The entry under these keys. Raises DataError, naming `fix`, where it is not there yet."""
    values = read(name)
    for key in keys:
        if key not in values:
            raise DataError(f"no {' / '.join(keys)} in {name}.json", "it measured before", fix)
        values = values[key]
    return values


def has(keys: Sequence[str], name: str = NAME) -> bool:
    """Whether there is such an entry."""
    values: Any = read(name)
    for key in keys:
        if key not in values:
            return False
        values = values[key]
    return True


def check_new(keys: Sequence[str], again: bool, name: str = NAME) -> None:
    """Raises DataError where something is stored that may be looked at once only, unless `again`."""
    if has(keys, name) and not again:
        raise DataError(
            f"{' / '.join(keys)}, measured on {get(keys, '', name)['machine']['date']}",
            "one look at val",
            "choose on dev; --again replaces the numbers, and docs/decisions.md should say why",
        )


def put(keys: Sequence[str], entry: dict[str, Any], name: str = NAME) -> None:
    """Stores an entry with the machine that it was measured on; other entries stay."""
    result = read(name)
    place = result
    for key in keys[:-1]:
        place = place.setdefault(key, {})
    place[keys[-1]] = {"machine": machine.describe(MACHINE_PACKAGES), **entry}
    machine.write(name, result)
