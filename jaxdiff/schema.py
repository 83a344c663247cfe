"""JSON out of a file (`jaxdiff.malformed.parsed`), as the types that its reader needs: `typed` turns the values into what a
Python annotation asks for.

A name in a file chooses among classes that the caller lists or allows (`jaxdiff.parts`); nothing is imported here.
"""

import contextlib
import dataclasses
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from jaxdiff.malformed import FAULTS, FIX, Malformed, joined, malformed, placed, shown, within

LARGEST = 2**63
"""Integers are smaller than this in size: it is what the arrays and files that they describe can count."""
INFINITE = "may be infinite"
"""In the annotation of a float that may: Annotated[float, INFINITE]."""


def fields(value: Any, kinds: Mapping[str, Any], field: str = "", optional: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of a dict, each as its kind; others stay as they are.

    Raises Malformed for no dict, for one that is missing and not `optional`, and for one of another kind.
    """
    if not isinstance(value, Mapping):
        raise malformed(field, value, "a dict of fields")
    missing = sorted(name for name in kinds if name not in value and name not in optional)
    if missing:
        where = f" of {field}" if field else ""
        raise Malformed(
            f"got no field {', '.join(missing)}{where}; expected {'it' if len(missing) == 1 else 'them'}; to fix: {FIX}"
        )
    return {name: typed(kinds[name], one, joined(field, name)) if name in kinds else one for name, one in value.items()}


def dataclass_of(cls: type, value: Any, field: str = "", classes: Mapping[str, type] | None = None) -> Any:
    """An instance of the dataclass `cls` from a dict of its fields. Raises Malformed, naming the field.

    classes: those that a dict with "type" may name; without them, dicts inside become what the annotations say.
    """
    if not isinstance(value, Mapping):
        raise malformed(field, value, f"a dict, the fields of {cls.__name__}")
    own = {one.name: one for one in dataclasses.fields(cls) if one.init and one.name != "parent"}  # Linen's own
    hints = _hints(cls)
    entries = {name: one for name, one in value.items() if name != "type"}
    required = [
        name
        for name, one in own.items()
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    for what, names in (
        ("without", [n for n in required if n not in entries]),
        ("with unknown", [n for n in entries if n not in own]),
    ):
        if names:
            raise Malformed(
                f"got {field or 'stored fields'} of {cls.__name__} {what} {', '.join(map(shown, sorted(names)))}; expected "
                f"{', '.join(own)}; to fix: use the version of jaxdiff that wrote them"
            )
    values = {name: typed(hints.get(name, Any), one, joined(field, name), classes) for name, one in entries.items()}
    try:
        return cls(**values)
    except FAULTS as error:
        raise placed(field or cls.__name__, error, FIX) from error


def conform(instance: Any) -> None:
    """Makes text of a dataclass's fields a path and lists tuples, where their annotations ask for these.

    For `__post_init__` of configs that people write by hand: `Folder("images", pixel_size=[0.1, 0.1])`.
    """
    for name, kind in _hints(type(instance)).items():
        value, kinds = getattr(instance, name, None), (kind, *get_args(kind))
        if isinstance(value, str) and Path in kinds:
            object.__setattr__(instance, name, Path(value))
        if isinstance(value, list) and any(get_origin(one) is tuple for one in kinds):
            object.__setattr__(instance, name, tuple(value))


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError:  # a person's class inside a function, whose annotations only it can resolve
        return {}


def typed(kind: Any, value: Any, field: str = "", classes: Mapping[str, type] | None = None) -> Any:
    """A JSON value as what the annotation `kind` asks for: lists as tuples, text as paths, dicts as dataclasses.

    Integers are no booleans and fit 64 bits, floats are finite unless `INFINITE` is in their annotation, text can be
    printed. A kind that JSON does not know is taken as it comes. `classes`: as for `dataclass_of`. Raises Malformed,
    naming the field.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return (
            _float(value, field, infinite=INFINITE in inner)
            if inner[0] is float
            else typed(inner[0], value, field, classes)
        )
    if origin in (Union, types.UnionType):
        return _one_of(inner, value, field, classes)
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in inner):
            raise malformed(field, value, "one of " + ", ".join(map(str, inner)))
        return value
    if origin in (tuple, list, Sequence, typing.get_origin(Sequence[int])):
        return _sequence(origin, inner, value, field, classes)
    if origin in (dict, Mapping, typing.get_origin(Mapping[str, int])):
        if not isinstance(value, Mapping):
            raise malformed(field, value, "a dict")
        return {
            typed(str, name, field): typed(inner[1], one, joined(field, name), classes) for name, one in value.items()
        }
    if kind is Any and classes is None:
        return value
    if kind in (list, dict):
        if not isinstance(value, kind):
            raise malformed(field, value, f"a {kind.__name__}")
        return value
    if kind in _PLAIN:
        return _PLAIN[kind](value, field)
    if dataclasses.is_dataclass(kind):
        return _instance((kind,), value, field, classes)
    if getattr(kind, "array_type", None) is np.ndarray:
        return numbers(value, field, len(kind.dims))  # pyright: ignore[reportAttributeAccessIssue]
    return loose(value, field, classes)


def _one_of(kinds: tuple[Any, ...], value: Any, field: str, classes: Mapping[str, type] | None) -> Any:
    if value is None and type(None) in kinds:
        return None
    parts = tuple(kind for kind in kinds if dataclasses.is_dataclass(kind))
    kinds = tuple(kind for kind in kinds if kind is not type(None) and not is_protocol(kind))
    if parts and (len(parts) == len(kinds) or (isinstance(value, Mapping) and "type" in value)):
        return _instance(parts, value, field, classes)
    if not kinds:  # a field for a person's own parts only
        return loose(value, field, classes)
    kinds = tuple(kind for kind in kinds if kind not in parts)
    if len(kinds) == 1:
        return typed(kinds[0], value, field, classes)
    for kind in kinds:
        with contextlib.suppress(Malformed):
            return typed(kind, value, field, classes)
    raise malformed(field, value, " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds))


def is_protocol(kind: Any) -> bool:
    """Whether an annotation speaks of a person's own parts by what these have to have."""
    return getattr(kind, "_is_protocol", False)


def _instance(kinds: tuple[Any, ...], value: Any, field: str, classes: Mapping[str, type] | None) -> Any:
    """A dataclass of these kinds; one that the caller lists and no annotation can know of (a person's own) passes too."""
    expected = ", ".join(kind.__name__ for kind in kinds if not inspect.isabstract(kind))
    if not isinstance(value, Mapping):
        raise malformed(field, value, f"a dict, the fields of {expected}")
    if classes is None or ("type" not in value and len(kinds) == 1):
        return dataclass_of(kinds[0], value, field, classes)
    cls = _named(value, field, classes)
    if cls is None or not (cls in kinds or cls.__module__.partition(".")[0] != __name__.partition(".")[0]):
        raise malformed(f"{joined(field, 'type')}", value.get("type"), f"one of {expected}", "update jaxdiff")
    return dataclass_of(cls, value, field, classes)


def _named(value: Mapping[str, Any], field: str, classes: Mapping[str, type]) -> type | None:
    """The class that "type" names. Raises Malformed for a person's own that the caller does not allow, or that is none."""
    name = value.get("type")
    if not isinstance(name, str):
        return None
    with within(field or "values"):
        cls = classes.get(name)
    place, colon, path = name.partition(":")
    if cls is None and colon:
        file = place.endswith(".py")
        allow = f'"path/{place}"' if file else f'"{place.partition(".")[0]}"'
        option = f", or --allow path/{place}" if file else f", or --allow {place.partition('.')[0]}"
        if place == "__main__":
            allow, option = path, " with the class itself"
        raise Malformed(
            f"got {field or 'values'} of type {name}; expected parts of jaxdiff, or of a package that you allow; to fix: "
            f"jd.load(run, allow=({allow},)){option}, where you trust its code"
        )
    return cls


def _sequence(origin: Any, inner: tuple[Any, ...], value: Any, field: str, classes: Mapping[str, type] | None) -> Any:
    if not isinstance(value, list | tuple):
        raise malformed(field, value, "a list")
    if origin is tuple and inner[-1:] != (Ellipsis,):
        if len(value) != len(inner):
            raise malformed(field, value, f"a list of {len(inner)}")
        kinds = inner
    else:
        kinds = inner[:1] * len(value)
    parts = [typed(kind, one, f"{field}[{i}]", classes) for i, (kind, one) in enumerate(zip(kinds, value))]
    return parts if origin is list else tuple(parts)


def loose(value: Any, field: str = "", classes: Mapping[str, type] | None = None) -> Any:
    """A value of which no kind is known: lists as tuples, dicts with a "type" as that one of the `classes`."""
    if isinstance(value, Mapping):
        if classes is None or "type" not in value:
            return {name: loose(one, joined(field, name), classes) for name, one in value.items()}
        cls = _named(value, field, classes)
        if cls is None:
            raise malformed(f"a stored {field}".rstrip(), value["type"], f"one of {sorted(classes)}", "update jaxdiff")
        return dataclass_of(cls, value, field, classes)
    if isinstance(value, list | tuple):
        return tuple(loose(one, f"{field}[{i}]", classes) for i, one in enumerate(value))
    return value


def numbers(value: Any, field: str, rank: int) -> np.ndarray:
    """Finite float64 in nested lists of equal length. Raises Malformed."""
    level = [value]
    for _ in range(rank):
        if not all(isinstance(part, list | tuple) for part in level) or len({len(part) for part in level}) > 1:
            raise malformed(field, value, f"numbers in {rank} level{'s' * (rank > 1)} of lists of equal length")
        level = [one for part in level for one in part]
    for one in level:
        _float(one, field)
    return np.asarray(value, np.float64)


def _integer(value: Any, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= LARGEST:
        raise malformed(field, value, "an integer of 64 bits")
    return value


def _float(value: Any, field: str, infinite: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(field, value, "a number")
    if not (abs(value) <= sys.float_info.max or (infinite and abs(value) == math.inf)):
        raise malformed(field, value, "a finite number")
    return value


def _bool(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise malformed(field, value, "true or false")
    return value


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or re.search("[\ud800-\udfff\0]", value):
        raise malformed(field, value, "text")
    return value


def _path(value: Any, field: str) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or "\0" in value:
        raise malformed(field, value, "the name of a file or folder")
    return Path(value)


def _none(value: Any, field: str) -> None:
    if value is not None:
        raise malformed(field, value, "null")


_PLAIN: dict[Any, Callable[[Any, str], Any]] = {
    int: _integer,
    float: _float,
    bool: _bool,
    str: _text,
    Path: _path,
    type(None): _none,
}
