"""Configs as plain JSON values and back, so that a run folder holds data and never code.

A dataclass becomes {"type": class name, field: value, ...}; reading looks the name up in a fixed list and nothing else.
"""

import dataclasses
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.schema import loose

LINEN_FIELDS = ("parent", "name")


def fields_of(value: Any) -> dict[str, Any]:
    """{field: plain value} of a dataclass instance; what Linen adds to a module is left out."""
    flax = sys.modules.get("flax.linen")  # loaded wherever there is a module of it
    linen = LINEN_FIELDS if flax is not None and isinstance(value, flax.Module) else ()
    return {
        f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init and f.name not in linen
    }


def to_plain(value: Any) -> Any:
    """JSON values of a config. Raises ValueError for what has no such form."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **fields_of(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if hasattr(value, "tolist"):
        return np.asarray(value).tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"got a {type(value).__name__} in a config; expected numbers, text, tuples, dicts or dataclasses")


def from_plain(value: Any, classes: Iterable[type], field: str = "") -> Any:
    """Inverse of `to_plain`; lists come back as tuples, fields as their class's annotations say.

    Raises ValueError, naming the field below `field`, for a type that is not in `classes` and for values of another kind.
    """
    return loose(_upgraded(value), field, {cls.__name__: cls for cls in classes})


def _upgraded(value: Any) -> Any:
    """Stored values as this version writes them."""
    if isinstance(value, Mapping):
        new = {name: _upgraded(one) for name, one in value.items()}
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
