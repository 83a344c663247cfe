"""Tuned samplers beside the checkpoints they are for: RUN/tuned/CALLS.json, numbers only."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from jaxdiff.durable import write_json
from jaxdiff.solvers import Tuned

FORMAT = 1


class Stored(NamedTuple):
    """A sampler and what it was tuned for: `record` holds checkpoint, guidance, scores and options."""

    solver: Tuned
    record: dict[str, Any]


def path_of(run: str | Path, calls: int) -> Path:
    """Where a run keeps its sampler of `calls` calls."""
    return Path(run) / "tuned" / f"{calls}.json"


def save(run: str | Path, solver: Tuned, record: dict[str, Any]) -> Path:
    """Writes it, whole or not at all."""
    path = path_of(run, solver.calls)
    write_json(path, {"format": FORMAT, "calls": solver.calls, "sampler": solver.to_json(), **record})
    return path


def load(run: str | Path, calls: int) -> Stored:
    """The sampler of `calls` calls of a run. Raises FileNotFoundError or ValueError that say how to make it."""
    path = path_of(run, calls)
    if not path.is_file():
        found = sorted(int(p.stem) for p in path.parent.glob("*.json") if p.stem.isdigit())
        raise FileNotFoundError(
            f"got tuned:{calls} for {run}, which has {'tuned samplers of ' + str(found) + ' calls' if found else 'none'}; "
            f"expected {path}; to fix: jaxdiff tune {run} --nfe {calls}"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        return Stored(Tuned.from_json(record.pop("sampler")), record)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"got {path}, which cannot be read ({error}); expected a tuned sampler of format {FORMAT}; to fix: "
            f"jaxdiff tune {run} --nfe {calls} --again"
        ) from error
