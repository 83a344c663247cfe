"""How parts are shown in a notebook: their numbers as values, arrays by their ends, parameters by their count."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

FEW, LARGEST = 4, 2**20
"""Values of an array that are written out, and up to how many its ends are looked for."""


def representation(self: Any) -> str:
    """`Name(field=value, …)` of a dataclass or `eqx.Module`: base classes take it for their `__repr__`."""
    shown = [
        f"{field.name}={value(getattr(self, field.name, None))}" for field in dataclasses.fields(self) if field.repr
    ]
    return f"{type(self).__name__}({', '.join(shown)})"


def value(what: Any) -> str:
    """One field: a number, an array by shape and ends, a tree of many arrays by their count, anything else in one line."""
    if isinstance(what, Tracer):
        return f"traced {what.aval.str_short()}"
    if eqx.is_array(what):
        return array(what)
    if isinstance(what, dict | list | tuple) and any(map(eqx.is_array, jax.tree.leaves(what))):
        return f"{size(what):,} numbers"
    if dataclasses.is_dataclass(what) and not isinstance(what, type):
        return short(what)
    if callable(what) and not isinstance(what, type):
        return getattr(what, "__name__", type(what).__name__)
    lines = repr(what).splitlines()
    return lines[0] if len(lines) < 2 else f"{lines[0]} …"


def array(values: Any) -> str:
    """0.5; [1, 2]; or float64[20], -6 to 3.5."""
    if jnp.issubdtype(values.dtype, jax.dtypes.prng_key):
        return f"{values.dtype}{list(values.shape)}"
    if values.ndim == 0:
        return f"{values.item():.6g}" if values.dtype.kind == "f" else str(values.item())
    if values.ndim == 1 and len(values) <= FEW:
        return f"[{', '.join(array(one) for one in np.asarray(values))}]"
    kind = f"{values.dtype}{list(values.shape)}"
    if not 0 < values.size <= LARGEST or not np.issubdtype(values.dtype, np.number):
        return kind
    return f"{kind}, {values.min():.4g} to {values.max():.4g}"


def size(tree: Any) -> int:
    """Numbers in a tree of arrays, such as parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def short(part: Any) -> str:
    """`repr` where it is one line; of Linen modules, whose is not, the fields off their defaults."""
    if not hasattr(part, "parent"):
        own = repr(part)
        return own if "\n" not in own else representation(part)
    changed = []
    for field in dataclasses.fields(part):
        if field.name in ("parent", "name") or not field.init:
            continue
        current = getattr(part, field.name, None)
        if not (field.default is not dataclasses.MISSING and current == field.default):
            changed.append(f"{field.name}={value(current)}")
    return f"{type(part).__name__}({', '.join(changed)})"
