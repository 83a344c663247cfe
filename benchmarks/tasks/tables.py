"""Markdown tables, and the words that go with them."""

from collections.abc import Mapping, Sequence
from typing import Any


def interval(value: Mapping[str, float], sign: str = "") -> str:
    """The mean with its interval."""
    mean, low, high = (f"{value[name]:{sign}.3f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def machine(entry: Mapping[str, Any]) -> str:
    """When and on what an entry was measured."""
    of = entry["machine"]
    return f"{of['date'][:10]}, {of['processor']}, {of['cores']} cores."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells as they stand."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
