"""What is said of values in files that are not what their reader needs, and JSON that is none.

`parsed` refuses what JSON leaves open (a key twice, endless nesting), and `within` puts the name of the file and the field
before whatever a value is refused for. `jaxdiff.schema` turns the values into types.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxdiff.terminal import escaped, one_line

DEPTH = 64
"""Lists and dicts in each other, at most."""
FIX = "copy the file again from where it was whole, or make it anew"

FAULTS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What code that expects good values raises for bad ones."""


class Malformed(ValueError):
    """Values of a file that are not what the reader needs: `got FIELD …; expected …; to fix: …`."""

    def __init__(self, text: str):
        super().__init__(escaped(text))


def malformed(field: str, value: Any, expected: str, fix: str = FIX) -> Malformed:
    """The error for the value of a field."""
    return Malformed(f"got {field or 'values'} {shown(value)}; expected {expected}; to fix: {fix}")


def shown(value: Any) -> str:
    """A value for an error text, on one short line."""
    if isinstance(value, Mapping | list | tuple) and len(value) > 8:
        return f"a {'dict' if isinstance(value, Mapping) else 'list'} of {len(value)} entries"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:36]} … {text[-20:]}"


@contextlib.contextmanager
def within(place: str | Path, fix: str = FIX) -> Iterator[None]:
    """Turns what is raised inside for bad values into a ValueError whose text begins with `place`, a file or a field.

    fix: what to do where the error itself knows nothing better.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (*FAULTS, MemoryError, OverflowError) as error:
        raise placed(place, error, fix) from error


def placed(place: str | Path, error: BaseException, fix: str) -> Malformed:
    text = str(error)
    if isinstance(error, ValueError) and text.startswith("got ") and "; expected " in text:
        text = text.replace(FIX, fix) if "; to fix: " in text else f"{text}; to fix: {fix}"
        return Malformed(
            text if isinstance(place, Path) and str(place) in text else f"got {place}: {text.removeprefix('got ')}"
        )
    reason = " ".join(text.split())[:200] or "no reason given"
    return Malformed(f"got {place}: {type(error).__name__}, {reason}; expected what jaxdiff wrote; to fix: {fix}")


def parsed(text: str | bytes) -> Any:
    """The values of a JSON text.

    NaN and infinite numbers are read, as Python writes them; `typed` refuses them. Raises Malformed for anything that is
    no JSON in UTF-8, for a key twice in one dict, and for more than `DEPTH` levels.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        values = json.loads(text, object_pairs_hook=_without_doubles)
    except Malformed:
        raise
    except RecursionError as error:
        raise Malformed(f"got JSON nested without end; expected at most {DEPTH} levels; to fix: {FIX}") from error
    except ValueError as error:
        raise Malformed(f"got no JSON ({_short(error)}); expected JSON in UTF-8; to fix: {FIX}") from error
    level = [values]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return values
    raise Malformed(f"got JSON of more than {DEPTH} levels; expected fewer; to fix: {FIX}")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:120]} … {text[-30:]}"


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"got the field {shown(double)} twice; expected it once; to fix: {FIX}")
    return values


def joined(field: str, name: Any) -> str:
    """The name of a field inside another."""
    return f"{field}.{one_line(name)}" if field else one_line(name)
