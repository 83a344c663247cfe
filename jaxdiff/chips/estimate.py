"""What a chip's compiler makes of a program: cycles or bytes, share of peak, memory, what only moves. Not a measurement.

A TPU's compiler writes its own estimate of cycles beside every operation; the GPU's writes none, and the bytes that its
kernels read and write are counted. Both leave out what overlaps, and the body of a loop is counted once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from jaxdiff.chips import text
from jaxdiff.chips.table import Chip
from jaxdiff.chips.target import Target

MOVES = frozenset(
    {
        *("copy", "transpose", "broadcast_in_dim", "concatenate", "reshape", "pad", "slice", "squeeze"),
        *("expand_dims", "rev", "gather"),
    }
)
"""JAX's operations that compute nothing."""


class Operation(NamedTuple):
    """One kernel."""

    name: str
    cost: int
    """Cycles on a TPU, else bytes."""
    layer: str
    """Of the network, such as down1_block0/norm2; "" outside."""
    primitive: str
    """JAX's operation that names the kernel, such as conv_general_dilated."""
    moves: bool
    """Whether it only copies, transposes, repeats or joins."""


@dataclass(frozen=True)
class Estimate:
    """Of one program on one chip."""

    chip: Chip
    operations: tuple[Operation, ...]
    cycles: int | None
    """None but for a TPU."""
    bytes: int
    """Read and written by the kernels; on a TPU those to and from its main memory."""
    flops: float
    """Of one chip's part, without products with zeros."""
    arguments: int
    """Bytes of what goes in and stays."""
    temporaries: int
    memory: int
    """Bytes that the chip needs in all: arguments, results, temporaries, code."""
    collectives: dict[str, tuple[int, int]]
    """Number and bytes of each kind."""

    @property
    def seconds(self) -> float | None:
        """Cycles by the clock; of a GPU the larger of bytes by bandwidth and operations by peak. None where unknown."""
        if self.cycles is not None:
            return self.cycles / self.chip.clock if self.chip.clock else None
        if self.chip.bandwidth is None or self.chip.peak is None:
            return None
        return max(self.bytes / self.chip.bandwidth, self.flops / self.chip.peak)

    @property
    def share(self) -> float | None:
        """Of the chip's peak, from 0 to 1; None where unknown."""
        return self.flops / self.chip.peak / self.seconds if self.chip.peak and self.seconds else None

    @property
    def cost(self) -> int:
        """Cycles, or bytes where there are none."""
        return self.bytes if self.cycles is None else self.cycles

    def moves(self) -> tuple[int, int]:
        """How many kernels only move, and their cost."""
        costs = [operation.cost for operation in self.operations if operation.moves]
        return len(costs), sum(costs)

    def layers(self) -> dict[str, int]:
        """Cost of each layer, the dearest first."""
        return _sums((operation.layer or "elsewhere", operation.cost) for operation in self.operations)

    def kinds(self) -> dict[str, int]:
        """Cost by what a layer is: norm1 and norm2 of all blocks together, likewise conv, attention, down, up."""
        kind = lambda layer: re.sub(r"\d+$", "", layer.split("/")[-1]) or "elsewhere"  # noqa: E731
        return _sums((kind(operation.layer), operation.cost) for operation in self.operations)

    def to_json(self, layers: int = 12) -> dict[str, Any]:
        """Numbers for a file, with the dearest layers."""
        number, cost = self.moves()
        return {
            "cycles": self.cycles,
            "bytes": self.bytes,
            "flops": self.flops,
            "milliseconds": None if self.seconds is None else round(1000 * self.seconds, 4),
            "share_of_peak": None if self.share is None else round(self.share, 4),
            "kernels": len(self.operations),
            "moves": {"kernels": number, "cost": cost},
            "temporaries": self.temporaries,
            "memory": self.memory,
            "collectives": {kind: list(count_and_bytes) for kind, count_and_bytes in self.collectives.items()},
            "kinds": dict(list(self.kinds().items())[:layers]),
            "layers": dict(list(self.layers().items())[:layers]),
        }


def estimate(traced: jax.stages.Traced, target: Target) -> Estimate:
    """The estimate of a program that was traced for a target, compiled here; a TPU's has cycles, all others bytes.

    Raises JaxRuntimeError (RESOURCE_EXHAUSTED) where a TPU's compiler finds no room for it.
    """
    lowered = traced.lower()
    compiled = target.compile(lowered)
    stats: Any = compiled.memory_analysis()
    results = stats.output_size_in_bytes - stats.alias_size_in_bytes
    memory = stats.argument_size_in_bytes + stats.temp_size_in_bytes + stats.generated_code_size_in_bytes + results
    program = compiled.as_text()
    assert program is not None
    return of_text(
        program,
        target.chip,
        flops=_useful(traced, lowered, compiled),
        arguments=stats.argument_size_in_bytes,
        temporaries=stats.temp_size_in_bytes,
        memory=memory,
    )


def _useful(traced: jax.stages.Traced, lowered: jax.stages.Lowered, compiled: jax.stages.Compiled) -> float:
    """Operations of one chip's part, without products with zeros that a TPU's forms of a layer have and the plain ones lack
    (`nn.lanes`): the compiler's count, times that of the program as a CPU gets it over that as the chip gets it."""
    counted = _flops(compiled.cost_analysis())
    if not counted:
        return _counted(lowered)
    return counted * _counted(traced.lower(lowering_platforms=("cpu",))) / _counted(lowered)


def _flops(analysis: Any) -> float:
    analysis = analysis[0] if isinstance(analysis, list) else analysis or {}
    return float(analysis.get("flops", 0.0))


def _counted(lowered: jax.stages.Lowered) -> float:
    """Operations of a program before it is optimised, counted for a CPU: the CUDA compiler does not count without its GPU.

    JAX's own `Lowered.cost_analysis` asks the compiler that has no GPU, too, so that XLA's function is called.
    """
    from jaxlib import _jax  # type: ignore[attr-defined]

    hlo: Any = lowered.compiler_ir("hlo")
    return _flops(_jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, hlo.as_hlo_module()))  # type: ignore


def of_text(program: str, chip: Chip, *, flops: float, arguments: int, temporaries: int, memory: int) -> Estimate:
    """The estimate of a compiled text, with what the text does not tell."""
    lines = text.read(program)
    counted = any(line.cycles is not None for line in lines)
    kernels = [line for line in lines if line.cycles is not None] if counted else lines
    return Estimate(
        chip=chip,
        operations=tuple(_operation(line) for line in kernels),
        cycles=sum(line.cycles or 0 for line in kernels) if counted else None,
        bytes=sum(line.bytes for line in lines),
        flops=flops,
        arguments=arguments,
        temporaries=temporaries,
        memory=memory,
        collectives=text.collectives(program),
    )


def _operation(line: text.Line) -> Operation:
    layer, primitive = _place(line.place)
    moves = line.op in ("copy", "transpose", "concatenate") or primitive in MOVES
    return Operation(line.name, line.bytes if line.cycles is None else line.cycles, layer, primitive, moves)


def _place(place: str) -> tuple[str, str]:
    """Layer and primitive of JAX's name for a place; of several joined ones the first."""
    *path, primitive = place.split(";")[0].split("/")
    skipped = (
        "while",
        "body",
        "cond",
        "outer-loop",
        "closed_call",
        "shard_map",
        "checkpoint",
        "rematted_computation",
        "",
    )
    named = [part for part in path if not re.search(r"[.(:<]|^branch_\d", part) and part not in skipped]
    return "/".join(named[-2:]), primitive


def _sums(costs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for name, cost in costs:
        sums[name] += cost
    return dict(sorted(sums.items(), key=lambda one: -one[1]))
