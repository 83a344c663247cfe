"""Optimised HLO text, as compilers print it, read into its operations."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

BYTES = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16}
SHAPE = re.compile(r"\b(pred|bf16|f8\w+|[fsuc]\d+)\[([\d,]*)\](\{[^}]*\})?")
INSIDE = re.compile(r"(?:calls|to_apply|comparator|select|scatter)=%?([\w.\-]+)")
NAMED = re.compile(r"%([\w.\-]+)")
START = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = ")
FREE = frozenset(
    {
        *("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "while", "conditional", "call"),
        *("after-all", "opt-barrier", "partition-id", "replica-id"),
    }
)
"""Operations that move and compute nothing themselves."""
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")


class Line(NamedTuple):
    """One operation of a text that is a kernel of its own: not inside a fusion."""

    name: str
    op: str
    """Such as fusion, copy or all-gather-start."""
    bytes: int
    """Of result and operands, those that lie in the chip's own fast memory left out."""
    result: int
    """Bytes of the result, wherever it lies."""
    cycles: int | None
    """The TPU compiler's estimate."""
    place: str
    """JAX's name of what it comes from: jit(call)/UNet/down1/conv/conv_general_dilated."""
    chain: str = ""
    """Of the parts of one collective that a TPU's compiler has spread over several kernels."""


def read(text: str) -> list[Line]:
    """Operations of all computations that are not part of another operation; the body of a loop is there once."""
    computations = dict(_computations(text))
    inside: set[str] = set()
    for lines in computations.values():
        for line in lines:
            # `call` runs the computation as it is, all others make it their own.
            if " call(" not in line.split(", metadata=")[0]:
                inside |= set(INSIDE.findall(line))
    return [one for name, lines in computations.items() if name not in inside for one in _operations(lines)]


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", []
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" ") and (header := re.match(r"(?:ENTRY )?%?([\w.\-]+) ", line)):
            name, lines = header[1], []
        elif line.startswith("}") and name:
            yield name, lines
            name = ""
        elif name:
            lines.append(line)


def _operations(lines: list[str]) -> Iterator[Line]:
    shapes: dict[str, str] = {}
    for line in lines:
        start = START.match(line)
        if not start:
            continue
        end = _closed(line, start.end()) if line[start.end()] == "(" else line.index(" ", start.end())
        shape = shapes[start[1]] = line[start.end() : end]
        op = line[end:].lstrip()
        op, opening = op[: op.index("(")], line.index("(", end)
        operands = NAMED.findall(line[opening : _closed(line, opening)])
        if op in FREE or op.endswith("-done"):
            continue
        read = "".join(shapes.get(name, "") for name in operands)
        # What starts a transfer returns its operands, too.
        again = read if op.endswith("-start") and shape.startswith("(") else ""
        moved = max(size(shape) - size(again), 0) + size(read)
        result = size(shape, True) - size(again, True)
        cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
        place = re.search(r'op_name="([^"]*)"', line)
        chain = re.search(r'chain_id="(\d+)"', line)
        yield Line(
            name=start[1],
            op=op,
            bytes=moved,
            result=result,
            cycles=int(cycles[1]) if cycles else None,
            place=place[1] if place else "",
            chain=chain[1] if chain else "",
        )


def _closed(line: str, opening: int) -> int:
    """Behind the bracket that closes the one at `opening`."""
    depth = 0
    for i in range(opening, len(line)):
        depth += (line[i] == "(") - (line[i] == ")")
        if not depth:
            return i + 1
    return len(line)


def size(shape: str, everywhere: bool = False) -> int:
    """Bytes of a shape, or of all in a tuple; those in a memory other than the main one, S(1) of a TPU, only `everywhere`."""
    total = 0
    for kind, dims, layout in SHAPE.findall(shape):
        if everywhere or "S(" not in layout:
            bits = re.search(r"\d+", kind)
            each = BYTES.get(kind) or max(int(bits[0]) // 8 if bits and not kind.startswith("f8") else 1, 1)
            total += each * int(np.prod([int(n) for n in dims.split(",") if n], dtype=np.int64))
    return total


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """How many of each kind of collective there are, and the bytes of their results.

    A TPU's compiler spreads one over several kernels that compute something else meanwhile, all of one chain: it counts once.
    """
    results: dict[tuple[str, str], int] = {}
    for name, lines in _computations(text):
        for line in _operations(lines):
            kind = line.op.removesuffix("-start")
            if kind in COLLECTIVES:
                results[kind, line.chain or f"{name}/{line.name}"] = line.result
    by_kind: dict[str, tuple[int, int]] = {}
    for (kind, _), result in results.items():
        count, total = by_kind.get(kind, (0, 0))
        by_kind[kind] = count + 1, total + result
    return by_kind
