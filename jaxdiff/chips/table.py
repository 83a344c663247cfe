"""What a chip can do at most, by the vendors' data sheets."""

from typing import NamedTuple

GB = 1e9
GIB = 2**30


class Chip(NamedTuple):
    """One device as JAX counts them: of TPU v4 and TPU7x half a chip, of all others a whole one."""

    name: str
    kind: str
    """JAX's platform: tpu, cuda or cpu."""
    peak: float | None
    """Dense bfloat16 operations a second."""
    bandwidth: float | None
    """Bytes a second between the chip and its memory."""
    memory: float | None
    """Bytes."""
    clock: float | None = None
    """Cycles a second, of a TPU whose compiler counts cycles."""
    topologies: tuple[str, ...] = ()
    """Slices that one can ask for; others of the same kind may compile too."""


FLAT = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
SOLID = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", "tpu", 197e12, 819 * GB, 16 * GIB, 1.5e9, FLAT),
        Chip("v6e", "tpu", 918e12, 1640 * GB, 32 * GIB, 1.75e9, FLAT),
        Chip("v5p", "tpu", 459e12, 2765 * GB, 95 * GIB, 1.75e9, SOLID),
        Chip("v4", "tpu", 137.5e12, 614 * GB, 16 * GIB, 1.05e9, SOLID),
        Chip("tpu7x", "tpu", 1153.5e12, 3690 * GB, 96 * GIB, None, SOLID),
        Chip("h200", "cuda", 989e12, 4800 * GB, 141 * GB, None, ("1", "2", "4", "8")),
        Chip("cpu", "cpu", None, None, None, None, ("1", "2", "4", "8", "16")),
    )
}
"""By the name before the colon of `--on`. No clock of TPU7x is published, and so there is no time from its cycles."""
