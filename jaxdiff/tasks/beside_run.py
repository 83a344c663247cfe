"""What is known of a run, a dataclass of plain values, as a JSON file in its folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from jaxdiff.durable import read_json, write_json
from jaxdiff.malformed import malformed, within
from jaxdiff.schema import dataclass_of, fields

FORMAT = 1
Value = TypeVar("Value")


def write_beside(path: Path, value: Any) -> Path:
    """Writes a dataclass, replacing an earlier one; the path."""
    write_json(path, {"format": FORMAT, **asdict(value)})
    return path


def read_beside(path: Path, cls: type[Value], command: str) -> Value:
    """What `write_beside` wrote. command: that makes it anew. Raises ValueError, naming file and field, for anything else."""
    with within(path, command):
        values = fields(read_json(path), {"format": int})
        if values["format"] != FORMAT:
            raise malformed("format", values["format"], f"format {FORMAT}, of this version")
        return dataclass_of(cls, {name: value for name, value in values.items() if name != "format"})
