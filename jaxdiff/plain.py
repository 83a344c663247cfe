"""Configs as plain JSON values and back, so that a run folder holds data and never code.

A dataclass becomes {"type": its class, field: value, ...}; reading looks the class up among those that the caller lists or
allows (`jaxdiff.parts`), and nothing else.
"""

import dataclasses
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.malformed import joined, within
from jaxdiff.parts import Allowed, Parts, is_ours, place_of
from jaxdiff.schema import loose

LINEN_FIELDS = ("parent", "name")
DTYPES = (
    "bool",
    "bfloat16",
    "float16",
    "float32",
    "float64",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
)


def fields_of(value: Any, field: str = "") -> dict[str, Any]:
    """{field: plain value} of a dataclass instance; what Linen adds to a module is left out.

    So is what has no plain form and is the class's own default, such as an activation: the class brings it along.
    """
    flax = sys.modules.get("flax.linen")  # loaded wherever there is a module of it
    linen = LINEN_FIELDS if flax is not None and isinstance(value, flax.Module) else ()
    values = {}
    for one in dataclasses.fields(value):
        if not one.init or one.name in linen:
            continue
        if one.name == "type":
            raise ValueError(
                f"got {joined(field, 'type')}; expected fields of other names, as a stored part tells its class by this one; "
                "to fix: rename it"
            )
        part = getattr(value, one.name)
        try:
            values[one.name] = to_plain(part, joined(field, one.name))
        except ValueError:
            if part is not one.default:
                raise
    return values


def to_plain(value: Any, field: str = "") -> Any:
    """JSON values of a config or a part of one.

    A class of this package is told by its name, a person's own by its place (`jaxdiff.parts.place_of`). Raises ValueError,
    naming the field below `field`, for what has no such form and for a class inside a function.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        with within(field or "values"):
            name = place_of(type(value))
        return {"type": name, **fields_of(value, field)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, joined(field, k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v, f"{field}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if isinstance(value, np.dtype | type) and (dtype := _dtype(value)) is not None:
        return {"type": "scalar type" if isinstance(value, type) else "dtype", "name": dtype}
    if hasattr(value, "tolist") and not isinstance(value, type):
        return np.asarray(value).tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"got a {type(value).__name__} in {field or 'a config'}; expected numbers, text, tuples, dicts or dataclasses; to "
        "fix: let the field hold one of these, such as a name, or leave it at the class's default"
    )


def _dtype(value: Any) -> str | None:
    """The name of a dtype or scalar type (jnp.bfloat16); None for any other class."""
    if (
        isinstance(value, np.dtype)
        or issubclass(value, np.generic)
        or isinstance(getattr(value, "dtype", None), np.dtype)
    ):
        name = np.dtype(value).name
        return name if name in DTYPES else None
    return None


def from_plain(value: Any, classes: Iterable[type] | Parts, field: str = "") -> Any:
    """Inverse of `to_plain`; lists come back as tuples, fields as their class's annotations say.

    classes: those that "type" may name; `Parts(classes, allow)` for a person's own as well. Raises ValueError, naming the
    field below `field`, for a type that is none of these and for values of another kind.
    """
    return loose(_upgraded(value), field, classes if isinstance(classes, Parts) else Parts(classes))


def own_classes(value: Any) -> list[type]:
    """The classes of a config's parts that are not of this package, each once."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, one.name, None) for one in dataclasses.fields(value) if one.init]
        own = [] if is_ours(type(value)) else [type(value)]
    else:
        inner = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        own = []
    return list(dict.fromkeys([*own, *(cls for part in inner for cls in own_classes(part))]))


def own_parts(config: Any) -> Allowed:
    """Permission for the classes of a config's parts, and for what lies in their modules and packages."""
    return Allowed.with_modules(own_classes(config))


def different_fields(value: Any, other: Any, field: str = "") -> list[str]:
    """The fields in which two configs differ; a list and a tuple of equal values do not."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if type(value) is not type(other):
            return [field]
        names = [one.name for one in dataclasses.fields(value) if one.init and one.name not in LINEN_FIELDS]
        return [
            differing
            for name in names
            for differing in different_fields(getattr(value, name), getattr(other, name), joined(field, name))
        ]
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        if value.keys() != other.keys():
            return [field]
        return [
            differing for key in value for differing in different_fields(value[key], other[key], joined(field, key))
        ]
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        if len(value) != len(other):
            return [field]
        return [f for i, (a, b) in enumerate(zip(value, other)) for f in different_fields(a, b, f"{field}[{i}]")]
    arrays = [hasattr(one, "shape") and not isinstance(one, np.dtype | type) for one in (value, other)]
    if any(arrays):
        same = all(arrays) and np.array_equal(np.asarray(value), np.asarray(other))
    else:
        same = value is other or value == other
    return [] if same else [field]


def _upgraded(value: Any) -> Any:
    """Stored values as this version writes them."""
    if isinstance(value, Mapping):
        new = {name: _upgraded(one) for name, one in value.items()}
        if value.get("type") in ("dtype", "scalar type") and value.get("name") in DTYPES:
            dtype = np.dtype(value["name"])
            return dtype if value["type"] == "dtype" else dtype.type
        if value.get("type") == "UNet" and isinstance(value.get("remat"), bool):  # of before there was a choice
            new["remat"] = "all" if value["remat"] else "none"
        return new
    return [_upgraded(one) for one in value] if isinstance(value, list | tuple) else value


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"network.width": 64, ...} of nested plain values."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    parts = [flat(v, f"{prefix}.{k}" if prefix else k) for k, v in value.items()]
    return {k: v for part in parts for k, v in part.items()}
