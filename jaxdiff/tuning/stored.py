"""Tuned samplers beside the checkpoints they are for: RUN/tuned/CALLS.json, numbers only."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxdiff.durable import read_json, write_json
from jaxdiff.malformed import malformed, shown, within
from jaxdiff.schema import fields
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


def load_tuned(run: str | Path, calls: int) -> Stored:
    """The sampler of `calls` calls of a run. Raises FileNotFoundError or ValueError that say how to make it."""
    path = path_of(run, calls)
    if not path.is_file():
        tuned = sorted(int(p.stem) for p in path.parent.glob("*.json") if p.stem.isdecimal())
        raise FileNotFoundError(
            f"got tuned:{calls} for {run}, which has {f'tuned samplers of {tuned} calls' if tuned else 'none'}; "
            f"expected {path}; to fix: jaxdiff tune {run} --nfe {calls}"
        )
    again = f"jaxdiff tune {run} --nfe {calls} --again"
    with within(path, again):
        values = read_json(path, fix=again)
        if not isinstance(values, dict) or type(values.get("format")) is not int or values["format"] != FORMAT:
            number = shown(values.get("format") if isinstance(values, dict) else values)
            raise ValueError(f"got a tuned sampler of format {number}; expected format {FORMAT}")
        record = fields(values, {"calls": int, "sampler": dict[str, Any]}, optional=("calls",))
        solver = Tuned.from_json(record.pop("sampler"))
        if not calls == solver.calls == record.get("calls", calls):
            raise malformed(
                "calls", record.get("calls"), f"{calls}, as the file's name and the length of sampler.grid say"
            )
        return Stored(solver, record)
