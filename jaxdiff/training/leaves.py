"""Pytrees of arrays by the names of their leaves: comparison and checksums."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np


def named(tree: Any) -> dict[str, Any]:
    """{"params/Dense_0/kernel": leaf, ...}."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def mismatches(expected: Any, found: Any) -> list[str]:
    """One line for every leaf that is missing, left over, or of another shape or dtype; empty where the trees agree."""
    expected, found = named(expected), named(found)
    lines = [f"{n}: missing, expected {_kind(expected[n])}" for n in expected if n not in found]
    lines += [f"{n}: left over, {_kind(found[n])}" for n in found if n not in expected]
    both = [n for n in expected if n in found and _kind(expected[n]) != _kind(found[n])]
    return sorted(lines + [f"{n}: {_kind(found[n])}, expected {_kind(expected[n])}" for n in both])


def _kind(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def checksums(tree: Any) -> dict[str, int]:
    """CRC-32 of the bytes of every leaf (NumPy arrays); in threads, as zlib releases the interpreter lock."""
    arrays = named(tree)
    with ThreadPoolExecutor() as pool:
        return dict(zip(arrays, pool.map(_crc32, arrays.values())))


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
