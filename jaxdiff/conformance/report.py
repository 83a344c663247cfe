"""What `check_solver` returns: one row a property, and the table that is printed of them."""

from dataclasses import dataclass
from typing import Literal

Result = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True)
class Row:
    """One property of a solver."""

    name: str
    result: Result
    measured: str
    expected: str = ""
    explanation: str = ""
    """Where it failed: how to mend it."""

    @classmethod
    def judged(cls, name: str, ok, measured: str, expected: str, explanation: str) -> "Row":
        """A row that is ok or failed.

        Args:
            name: of the property.
            ok: whether it is kept.
            measured: what was seen.
            expected: what is promised.
            explanation: how to mend it; kept where it failed.

        Returns:
            The row.
        """
        return cls(name, "ok", measured, expected) if ok else cls(name, "failed", measured, expected, explanation)


@dataclass(frozen=True)
class Conformance:
    """The properties of one solver; `str()` is the table."""

    solver: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what could not be checked here does not count."""
        return all(row.result != "failed" for row in self.rows)

    def __getitem__(self, name: str) -> Row:
        """The row called `name`."""
        return {row.name: row for row in self.rows}[name]

    def __str__(self) -> str:
        failed = [row for row in self.rows if row.result == "failed"]
        unchecked = sum(row.result == "not checked" for row in self.rows)
        verdict = "failed: " + ", ".join(row.name for row in failed) if failed else "passed"
        if unchecked:
            verdict += f" ({unchecked} not checked)"
        cells = [("property", "result", "measured", "expected")]
        cells += [(row.name, row.result, row.measured, row.expected) for row in self.rows]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        mending = [f"{row.name}: {row.explanation}" for row in failed if row.explanation]
        return "\n".join([f"{self.solver}: {verdict}", *lines, *mending])
