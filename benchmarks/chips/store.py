"""benchmarks/results/chips.json: one row a line, written one at a time."""

import datetime
import importlib.metadata
import json
from typing import Any

from benchmarks.store import Store

LIMIT = 1.05
"""Times the stored cycles or bytes that a row may have."""
ABOUT = "Compilers' estimates for chips that were not there: they rank designs, they are not times. Loops count once."


def compiler(kind: str) -> dict[str, Any]:
    """Versions of what compiled, and the day."""
    package = {"tpu": "libtpu", "cuda": "jax-cuda13-plugin", "cpu": "jaxlib"}[kind]
    versions = {name: importlib.metadata.version(name) for name in ("jax", package)}
    return {"versions": versions, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def dumps(result: dict[str, Any]) -> str:
    """JSON with a row a line."""
    lines = ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(row, allow_nan=False)}" for key, row in result["rows"].items()
    )
    return f'{{\n "about": {json.dumps(result["about"])},\n "rows": {{\n{lines}\n }}\n}}'


STORE = Store("chips", empty={"rows": {}}, dumps=dumps)


def read() -> dict[str, Any]:
    """Stored rows by key."""
    return STORE.read()["rows"]


def put(key: str, row: dict[str, Any]) -> dict[str, Any]:
    """Writes one row beside those that are there now; returns all."""
    rows = dict(sorted({**read(), key: row}.items()))
    STORE.write({"about": ABOUT, "rows": rows})
    return rows


def dearer(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has grown by more than `LIMIT`; none where nothing has."""
    if "does_not_fit" in now:
        return [] if "does_not_fit" in before else ["it no longer fits into the chip's memory"]
    names = [name for name in ("cycles", "bytes") if before.get(name) and now.get(name)]
    return [
        f"{name} {now[name] / before[name]:.3f} times the stored {before[name] / 1e6:.1f} M"
        for name in names
        if now[name] > LIMIT * before[name]
    ]
