"""Pytrees of arrays by the names of their leaves: comparison and checksums, and those of a network."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxdiff.durable import crc32
from jaxdiff.network import Network, initialised
from jaxdiff.nn.condition import expected


def named(tree: Any) -> dict[str, Any]:
    """{"params/Dense_0/kernel": leaf, ...}."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def variable_shapes(network: Network, shape: Sequence[int]) -> Any:
    """Shapes and dtypes of the variables of a network for images (*spatial, channels); nothing is computed.

    Raises ValueError for a network that cannot be built.
    """
    shaped = lambda *shape: jax.ShapeDtypeStruct(shape, np.dtype("float32"))  # noqa: E731
    cond = expected(network, 1, tuple(shape[:-1]))
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        return jax.eval_shape(
            lambda *arrays: initialised(network, *arrays),
            key,
            shaped(1, *shape),
            shaped(1),
            cond or None,
        )
    except (ArithmeticError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"got a network that cannot be built ({' '.join(str(error).split())[:200]}); expected sizes that fit memory; to "
            "fix: take run.json from where it was whole"
        ) from error


def check_variables(expected: Any, variables: Any, where: str) -> None:
    """Raises ValueError, naming the leaves, where variables are not the network's, or hold NaN or infinite numbers."""
    if lines := mismatches(expected, variables):
        raise ValueError(not_the_networks(where, lines))
    check_finite(variables, where)


def check_finite(variables: Any, where: str) -> None:
    """Raises ValueError, naming the leaves, where variables hold NaN or infinite numbers."""
    bad = {name: int(np.count_nonzero(~np.isfinite(leaf))) for name, leaf in named(variables).items()}
    if bad := {name: number for name, number in bad.items() if number}:
        name, number = next(iter(bad.items()))
        raise ValueError(
            f"got {where} with NaN or infinite numbers: {number} in {name}"
            + (f" and {sum(bad.values()) - number} in {len(bad) - 1} more leaves" if len(bad) > 1 else "")
            + "; expected finite parameters; to fix: load an earlier checkpoint (step=), or train the run again"
        )


def not_the_networks(where: str, lines: list[str]) -> str:
    """The error text for `mismatches`."""
    more = f"\n  and {len(lines) - 8} more" if len(lines) > 8 else ""
    return (
        f"got {where} with {len(lines)} leaves that are not the network's:\n  "
        + "\n  ".join(lines[:8])
        + f"{more}\n; expected those of the network in run.json; to fix: take both from the same run"
    )


def mismatches(expected: Any, actual: Any) -> list[str]:
    """One line for every leaf that is missing, left over, or of another shape or dtype; empty where the trees agree."""
    expected, actual = named(expected), named(actual)
    lines = [f"{n}: missing, expected {_kind(expected[n])}" for n in expected if n not in actual]
    lines += [f"{n}: left over, {_kind(actual[n])}" for n in actual if n not in expected]
    both = [n for n in expected if n in actual and _kind(expected[n]) != _kind(actual[n])]
    return sorted(lines + [f"{n}: {_kind(actual[n])}, expected {_kind(expected[n])}" for n in both])


def _kind(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def checksums(tree: Any) -> dict[str, Any]:
    """CRC-32 of the bytes of every leaf; in threads, as zlib releases the interpreter lock.

    Of an array that lies on several hosts, [[[start, stop] of each axis, CRC-32], ...] of the parts that this one saves.
    """
    arrays = named(tree)
    with ThreadPoolExecutor() as pool:
        return dict(zip(arrays, pool.map(_checksum, arrays.values())))


def merged(of_hosts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The checksums of all hosts' parts as one."""
    parts = lambda name: [part for of_host in of_hosts for part in of_host[name]]  # noqa: E731
    return {name: sorted(parts(name)) if isinstance(crc, list) else crc for name, crc in of_hosts[0].items()}


def wrong(tree: Any, expected: dict[str, Any]) -> list[str]:
    """Names of the leaves (NumPy arrays) that are missing, left over, or not those that had these checksums."""
    arrays = named(tree)
    with ThreadPoolExecutor() as pool:
        same = dict(zip(arrays, pool.map(lambda n: n in expected and _matches(arrays[n], expected[n]), arrays)))
    return [name for name in sorted({*expected, *arrays}) if not same.get(name)]


def _checksum(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return crc32(leaf)
    own = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
    return [[_bounds(shard.index, leaf.shape), crc32(np.asarray(shard.data))] for shard in own]


def _bounds(index: Sequence[slice], shape: Sequence[int]) -> list[list[int]]:
    return [list(part.indices(n)[:2]) for part, n in zip(index, shape)]


def _matches(array: np.ndarray, expected: Any) -> bool:
    if not isinstance(expected, list):
        return crc32(array) == expected
    parts = [(tuple(slice(*bound) for bound in bounds), crc) for bounds, crc in expected]
    return array.size == sum(array[part].size for part, _ in parts) and all(
        crc32(array[part]) == crc for part, crc in parts
    )
