"""Damage to a file: of its bytes, and of the structure of JSON."""

import copy
import json
from typing import Any

import numpy as np

VALUES = (
    *(None, True, False, -1, 0, 1, 2, 2**31, 2**63, 10**30, -(10**18), 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "0",
        "-1",
        "/etc/passwd",
        "../..",
        "a\0b",
        "\ud800",
        "é" * 300,
        [],
        {},
        [0],
        [[]],
        {"a": 1},
        {"type": "os.system"},
    ),
)


def damaged(data: bytes, rng: np.random.Generator, is_json: bool) -> tuple[str, bytes]:
    """(name of the damage, the bytes after it)."""
    if is_json and rng.random() < 0.6:
        restructured = _structure(data, rng)
        if restructured is not None:
            return restructured
    name = str(rng.choice(list(BYTES)))
    return name, BYTES[name](bytearray(data), rng)


def _span(data: bytearray, rng: np.random.Generator, most: int) -> tuple[int, int]:
    """A place and a length in the part of the file that is not padding."""
    end = len(data.rstrip(b"\0")) or len(data)
    start = int(rng.integers(0, max(end, 1)))
    return start, int(min(rng.integers(1, most + 1), len(data) - start))


def _flip(data: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 9))):
        start, size = _span(data, rng, 1)
        if size:
            data[start] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _overwrite(data: bytearray, rng: np.random.Generator) -> bytes:
    start, size = _span(data, rng, 64)
    data[start : start + size] = rng.bytes(size)
    return bytes(data)


def _extreme(data: bytearray, rng: np.random.Generator) -> bytes:
    """A number of 2, 4 or 8 bytes that is as large, as small or as odd as it gets."""
    width = int(rng.choice([2, 4, 8]))
    start, _ = _span(data, rng, 1)
    value = int(rng.choice(np.array([0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1)], dtype=object)))
    data[start : start + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")[: len(data) - start]
    return bytes(data)


def _truncate(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: int(rng.integers(0, len(data)))])


def _zero_tail(data: bytearray, rng: np.random.Generator) -> bytes:
    start, _ = _span(data, rng, 1)
    return bytes(data[:start]) + bytes(len(data) - start)


def _zero_block(data: bytearray, rng: np.random.Generator) -> bytes:
    start, size = _span(data, rng, 4096)
    data[start : start + size] = bytes(size)
    return bytes(data)


def _double(data: bytearray, rng: np.random.Generator) -> bytes:
    start, size = _span(data, rng, 512)
    return bytes(data[: start + size] + data[start:])


def _insert(data: bytearray, rng: np.random.Generator) -> bytes:
    start, _ = _span(data, rng, 1)
    return bytes(data[:start]) + rng.bytes(int(rng.integers(1, 33))) + bytes(data[start:])


def _delete(data: bytearray, rng: np.random.Generator) -> bytes:
    start, size = _span(data, rng, 256)
    del data[start : start + size]
    return bytes(data)


def _swap(data: bytearray, rng: np.random.Generator) -> bytes:
    """Two fields of equal size, each in the place of the other."""
    (a, m), (b, n) = (_span(data, rng, 12) for _ in range(2))
    size = min(m, n, abs(a - b))
    one, other = bytes(data[a : a + size]), bytes(data[b : b + size])
    data[a : a + size], data[b : b + size] = other, one
    return bytes(data)


def _append(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data) + rng.bytes(int(rng.integers(1, 2000)))


BYTES = {
    "flipped bits": _flip,
    "bytes overwritten": _overwrite,
    "extreme number": _extreme,
    "cut": _truncate,
    "zeros at the end": _zero_tail,
    "block of zeros": _zero_block,
    "block twice": _double,
    "bytes inserted": _insert,
    "bytes missing": _delete,
    "fields swapped": _swap,
    "bytes behind the end": _append,
}


def _structure(data: bytes, rng: np.random.Generator) -> tuple[str, bytes] | None:
    """None for a file that is no JSON."""
    try:
        values = json.loads(data)
    except ValueError:
        return None
    spots = list(places(values))
    if not spots:
        return None
    path = spots[int(rng.integers(len(spots)))]
    kind = str(rng.choice(["value", "value", "missing", "more", "other type", "deep", "swap", "twice"]))
    text = json.dumps(values)
    if kind == "deep":
        depth = int(rng.choice([70, 500, 20_000, 200_000]))
        mark = json.dumps("\u0001here")
        return "JSON: nested deep", json.dumps(changed(values, path, "\u0001here")).replace(
            mark, "[" * depth + "]" * depth
        ).encode()
    if kind == "twice" and isinstance(values, dict):
        name = str(rng.choice(list(values)))
        return "JSON: field twice", (text[:-1] + f", {json.dumps(name)}: {json.dumps(_any(rng))}}}").encode()
    if kind == "missing":
        return "JSON: field missing", json.dumps(_without(values, path)).encode()
    if kind == "swap":
        other = spots[int(rng.integers(len(spots)))]
        if path[: len(other)] != other and other[: len(path)] != path:
            left_value, right_value = at(values, path), at(values, other)
            return "JSON: values swapped", json.dumps(
                changed(changed(values, path, right_value), other, left_value)
            ).encode()
    if kind == "more":
        place = at(values, path)
        new = _any(rng)
        if isinstance(place, dict | list):
            new = {**place, "odd": new} if isinstance(place, dict) else [*place, new]
        return "JSON: one more", json.dumps(changed(values, path, new)).encode()
    if kind == "other type":
        value = at(values, path)
        new = str(value) if not isinstance(value, str) else [value] if rng.random() < 0.5 else {"0": value}
        return "JSON: other type", json.dumps(changed(values, path, new)).encode()
    return "JSON: other value", json.dumps(changed(values, path, _any(rng))).encode()


def _any(rng: np.random.Generator) -> Any:
    return VALUES[int(rng.integers(len(VALUES)))]


def places(values: Any, path: tuple[Any, ...] = ()):
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in inside:
        yield (*path, name)
        yield from places(value, (*path, name))


def at(values: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def changed(values: Any, path: tuple[Any, ...], new: Any) -> Any:
    values = copy.deepcopy(values)
    at(values, path[:-1])[path[-1]] = copy.deepcopy(new)
    return values


def _without(values: Any, path: tuple[Any, ...]) -> Any:
    values = copy.deepcopy(values)
    del at(values, path[:-1])[path[-1]]
    return values
