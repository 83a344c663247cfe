"""Chips that are not here: their numbers, their compilers, and what these say of a program (estimates, not measurements)."""

from jaxdiff.chips.estimate import Estimate, Operation, estimate
from jaxdiff.chips.table import CHIPS, Chip
from jaxdiff.chips.target import NoCompiler, Target, target

__all__ = ["CHIPS", "Chip", "Estimate", "NoCompiler", "Operation", "Target", "estimate", "target"]
