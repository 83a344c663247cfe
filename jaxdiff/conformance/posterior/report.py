"""What `check_posterior` returns: a cell for each problem and number of calls, and the table that is printed of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from jaxdiff.conformance.report import Row

Verdict = Literal["right", "solver", "biased", "diverges"]

MEAN = 1 / 3
"""Largest distance of the samples' mean that is right, in standard deviations of the posterior: it adds a ninth to their
mean squared error."""
SPREAD = 0.15
"""Largest distance of the samples' standard deviation from the posterior's that is right, relative."""
LOST = 10.0
"""Of either: from here on samples have nothing to do with the posterior."""


@dataclass(frozen=True)
class Cell:
    """One problem, sampled in so many calls."""

    operator: str
    prior: str
    noise: float
    calls: int
    mean: float
    """Root mean square distance of the samples' mean from the posterior's, in its standard deviations, pixel by pixel."""
    spread: float
    """Standard deviation of the samples over the posterior's, root mean square over pixels."""
    solver_mean: float
    """The same of the exact denoiser in the same solver: no method can do better."""
    solver_spread: float
    mean_chance: float = 0.0
    """What a mean of 0 may seem by chance; 0 for exact recursions."""
    spread_chance: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """right: mean and spread are the posterior's. solver: as right as the exact denoiser is in so few calls."""
        if not (self.mean < LOST and self.spread < LOST):
            return "diverges"
        allowed = (1 + SPREAD) * (1 + self.spread_chance)
        if not self.mean <= max(MEAN, 1.5 * self.solver_mean) + self.mean_chance:
            return "biased"
        if 1 / allowed <= self.spread <= allowed:
            return "right"
        return "solver" if self.solver_spread / allowed <= self.spread <= self.solver_spread * allowed else "biased"


@dataclass(frozen=True)
class PosteriorConformance:
    """How right a method of posterior sampling is, and where; `str()` is the table."""

    method: str
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    """What is promised of every method: shapes, and that nothing diverges; and how many cells of each operator are right."""

    @property
    def passed(self) -> bool:
        """Whether it samples the posterior in every cell, and is bounded. Few methods do: `region` says where."""
        return all(row.result != "failed" for row in self.rows)

    @property
    def bounded(self) -> bool:
        """Whether nothing diverged, in the cells or in the harsher runs."""
        return self["bounded"].result == "ok" and not any(cell.verdict == "diverges" for cell in self.cells)

    def __getitem__(self, name: str) -> Row:
        """The row called `name`."""
        return {row.name: row for row in self.rows}[name]

    def of(self, operator: str | None = None, noise: float | None = None, calls: int | None = None) -> tuple[Cell, ...]:
        """The cells of an operator, a noise and a number of calls; None: of all."""
        selection = {"operator": operator, "noise": noise, "calls": calls}
        return tuple(c for c in self.cells if all(v is None or getattr(c, name) == v for name, v in selection.items()))

    @property
    def region(self) -> dict[str, str]:
        """For each operator where the method is right, in words."""
        return {name: region(self.of(name)) for name in dict.fromkeys(cell.operator for cell in self.cells)}

    def __str__(self) -> str:
        failed = [row for row in self.rows if row.result == "failed"]
        verdict = "failed: " + ", ".join(row.name for row in failed) if failed else "passed"
        lines = [f"{self.method}: {verdict}"]
        lines += aligned([("property", "result", "measured", "expected"), *map(_of_row, self.rows)])
        if self.cells:
            calls = list(dict.fromkeys(cell.calls for cell in self.cells))
            lines += [
                "",
                "mean off, in posterior standard deviations | spread, over the posterior's; the worst of both priors",
            ]
            table = [("operator", "noise", *(f"{n} calls" for n in calls), "right")]
            for operator in dict.fromkeys(cell.operator for cell in self.cells):
                for noise in dict.fromkeys(cell.noise for cell in self.cells):
                    parts = [self.of(operator, noise, n) for n in calls]
                    table.append((operator, f"{noise:g}", *map(entry, parts), region(self.of(operator, noise))))
            lines += aligned(table)
        lines += [f"{row.name}: {row.explanation}" for row in failed if row.explanation]
        return "\n".join(lines)


def entry(cells: Iterable[Cell]) -> str:
    """The worst mean and the worst spread of some cells, with a mark where one is wrong."""
    cells = tuple(cells)
    mean = max(cell.mean for cell in cells)
    spread = max((cell.spread for cell in cells), key=_off)
    verdicts = {cell.verdict for cell in cells}
    mark = next((m for v, m in (("diverges", " !!"), ("biased", " !"), ("solver", " s")) if v in verdicts), "")
    return f"{mean:.2g} | {spread:.2f}{mark}" if mean < 1e3 else f"{mean:.0e} | {spread:.0e}{mark}"


def region(cells: Iterable[Cell]) -> str:
    """Of how many cells the samples are right, and which are not."""
    cells = tuple(cells)
    wrong = [cell for cell in cells if cell.verdict in ("biased", "diverges")]
    if not wrong:
        return "all"
    if len(wrong) == len(cells):
        return "none"
    return f"{len(cells) - len(wrong)} of {len(cells)}"


def aligned(cells: list[tuple[str, ...]]) -> list[str]:
    """Lines of columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _of_row(row: Row) -> tuple[str, str, str, str]:
    return row.name, row.result, row.measured, row.expected


def _off(spread: float) -> float:
    return max(spread, 1 / spread) if spread > 0 else float("inf")
