"""Number fields of a person's own parts as array leaves, so that another value is no new program."""

import copy
import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

Module = TypeVar("Module", bound=eqx.Module)


def as_leaves(module: eqx.Module) -> None:
    """Makes the Python floats in the fields of a module, and integers where the annotation is `float`, float64 arrays.

    For `__check_init__` of base classes: `strength: float = 1.0` in a subclass is then traced as an array is. Fields that
    are static, integers (how often, how many: structure) and modules in fields stay as they are.
    """
    for field in dataclasses.fields(module):
        value = getattr(module, field.name, None)
        if field.metadata.get("static", False):
            continue
        if type(value) is int and field.type in (float, "float"):
            value = float(value)
        leaves = jax.tree.map(_leaf, value, is_leaf=lambda part: isinstance(part, eqx.Module))
        if any(old is not new for old, new in zip(jax.tree.leaves(value), jax.tree.leaves(leaves))):
            object.__setattr__(module, field.name, leaves)


def with_leaves(module: Module) -> Module:
    """A copy to which `as_leaves` was done; of what a config holds, whose numbers stay plain."""
    copied = copy.copy(module)
    as_leaves(copied)
    return copied


def _leaf(value: Any) -> Any:
    return np.asarray(value, np.float64) if isinstance(value, float | np.floating) else value


def cast(tree: Any, dtype: Any) -> Any:
    """`tree` with all real arrays in it, NumPy or JAX, in `dtype`."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)
