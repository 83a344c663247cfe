"""benchmarks/results/chips.json: one row a line, written one at a time."""

import datetime
import importlib.metadata
import json
import os
from typing import Any

from benchmarks.machine import RESULTS

PATH = RESULTS / "chips.json"
LIMIT = 1.05
"""Times the stored cycles or bytes that a row may have."""
ABOUT = "Compilers' estimates for chips that were not there: they rank designs, they are not times. Loops count once."


def compiler(kind: str) -> dict[str, Any]:
    """Versions of what compiled, and the day."""
    package = {"tpu": "libtpu", "cuda": "jax-cuda13-plugin", "cpu": "jaxlib"}[kind]
    versions = {name: importlib.metadata.version(name) for name in ("jax", package)}
    return {"versions": versions, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def read() -> dict[str, Any]:
    """Stored rows by key."""
    return json.loads(PATH.read_text())["rows"] if PATH.exists() else {}


def put(key: str, row: dict[str, Any]) -> dict[str, Any]:
    """Writes one row beside those that are there now; returns all."""
    rows = {**read(), key: row}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(rows[name], allow_nan=False)}" for name in sorted(rows))
    partial = PATH.with_suffix(".partial")
    partial.write_text(f'{{\n "about": {json.dumps(ABOUT)},\n "rows": {{\n{lines}\n }}\n}}\n')
    os.replace(partial, PATH)
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
