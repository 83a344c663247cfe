"""Compiled programs of which a process keeps the newest: images of many sizes need one each."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

MOST = 32
"""Programs that each function keeps; the one that was used longest ago goes first, and is compiled again when needed."""


class Programs:
    """A function under `jax.jit`, with at most `MOST` of its programs in memory.

    A program belongs to the static arguments and to structure, shapes and dtypes of the others. `jax.jit` by itself keeps
    thousands, some megabytes each. options: gives XLA's options, once a program is made.
    """

    def __init__(
        self, function: Callable[..., Any], static: Sequence[int] = (), options: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self.function, self.static, self.options = function, tuple(static), options
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        return self._of(arguments)(*arguments)

    def __len__(self) -> int:
        """Programs kept."""
        return len(self._kept)

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """As of `jax.jit`."""
        return self._of(arguments).lower(*arguments)

    def clear(self) -> None:
        """Drops all programs."""
        with self._lock:
            self._kept.clear()

    def _of(self, arguments: tuple[Any, ...]) -> Any:
        static = tuple(arguments[i] for i in self.static)
        leaves, tree = jax.tree.flatten([a for i, a in enumerate(arguments) if i not in self.static])
        key = (static, tree, tuple(map(jax.typeof, leaves)), jnp.result_type(float))
        with self._lock:
            program = self._kept.get(key)
            if program is None:
                options = self.options() or None
                program = jax.jit(_copy(self.function), static_argnums=self.static, compiler_options=options)
                self._kept[key] = program
                dropped = [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - MOST)]
                for old in dropped:
                    old.clear_cache()
            else:
                self._kept.move_to_end(key)
        return program


def _copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Another function of the same name: what JAX keeps for it goes when it does."""

    def same(*arguments: Any) -> Any:
        return function(*arguments)

    same.__name__ = same.__qualname__ = function.__name__
    return same


def kept_programs(function: Callable[..., Any]) -> "Filtered":
    """Decorator, as `eqx.filter_jit`: arrays among the arguments are traced, all else belongs to the program."""
    return Filtered(function)


class Filtered:
    """A function of arguments that mix arrays with all else, with at most `MOST` of its programs in memory."""

    def __init__(self, function: Callable[..., Any], options: Callable[[], dict[str, Any]] = dict) -> None:
        def called(arrays: Any, rest: tuple[Any, ...]) -> Any:
            leaves, tree = rest
            return function(*eqx.combine(arrays, jax.tree.unflatten(tree, leaves)))

        called.__name__ = function.__name__
        self.function, self.programs = function, Programs(called, static=(1,), options=options)

    def __call__(self, *arguments: Any) -> Any:
        return self.programs(*split(arguments))


def split(parts: Any) -> tuple[Any, tuple[tuple[Any, ...], Any]]:
    """Arrays, and all else as something to compare by."""
    arrays, rest = eqx.partition(parts, eqx.is_array)
    leaves, tree = jax.tree.flatten(rest)
    return arrays, (tuple(leaves), tree)
