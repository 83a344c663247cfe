"""`python -m benchmarks.posterior [measure [METHOD …] | report]`: methods of posterior sampling beside closed forms.

measure: `jd.check_posterior` of every method, or of some while the rest of the result stays, with more samples; writes
benchmarks/results/posterior.json.
report: writes the tables between the marks of docs/posterior.md from it.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import tyro

from benchmarks.command import command
from benchmarks.report import DOCS, table, write_sections
from benchmarks.store import Store
from jaxdiff.conformance.posterior import Cell, check_posterior
from jaxdiff.conformance.posterior.report import entry
from jaxdiff.guidance.posterior import DDNM, DPS, MMPS, DiffPIR, PiGDM

SAMPLES = 1024
STORE = Store("posterior")
METHODS: dict[str, Callable[..., Any]] = {
    "diffpir": DiffPIR,
    "ddnm": DDNM,
    "dps": DPS,
    "pigdm": PiGDM,
    "mmps": MMPS,
    "mmps, 3 iterations": partial(MMPS, iterations=3),
}
"""By the names of `jaxdiff.tasks.restoration.restore.METHODS`, where they have one."""
COST = {"diffpir": 1.0, "ddnm": 1.0, "dps": 2.2, "pigdm": 2.2, "mmps": 3.4, "mmps, 3 iterations": 4.6}
"""Network calls that a step takes about as long as: each gradient 1.2 (docs/evidence.md)."""
SEES_ALL = ("denoising", "blur", "binning")
LEAVES_OUT = ("mask", "slices")
"""The two kinds of operator that `jaxdiff.tasks.restoration.choice` tells apart."""
FEW = 20
"""Calls from which the choice counts: with fewer the solver itself is not right."""


def cells(result: dict[str, Any], method: str) -> list[Cell]:
    """Of a method."""
    return [Cell(**dict(zip(result["fields"], row, strict=True))) for row in result["methods"][method]["cells"]]


def best(result: dict[str, Any], operators: Iterable[str]) -> str:
    """The cheapest method that is right in every cell of these operators; where none is, that of most cells."""

    def wrong(name: str) -> int:
        some = [c for c in cells(result, name) if c.operator in operators and c.calls >= FEW]
        return sum(c.verdict in ("biased", "diverges") for c in some)

    return min(METHODS, key=lambda name: (wrong(name), COST[name]))


def tables(result: dict[str, Any]) -> str:
    """The tables of docs/posterior.md."""
    operators, noises, calls = (
        list(dict.fromkeys(getattr(c, name) for c in cells(result, "mmps"))) for name in ("operator", "noise", "calls")
    )
    rows = []
    for name, entries in result["methods"].items():
        parts = [[c for c in cells(result, name) if c.operator == operator] for operator in operators]
        right = [f"{sum(c.verdict in ('right', 'solver') for c in part)} of {len(part)}" for part in parts]
        rows.append([name, f"{COST[name]:g}", *right, str(entries["bounded"])])
    parts = [table(["method", "network, a step", *operators, "harsher runs"], rows)]
    for operator in operators:
        rows = []
        for noise in noises:
            for n in calls:
                by_method = {
                    name: [c for c in cells(result, name) if (c.operator, c.noise, c.calls) == (operator, noise, n)]
                    for name in result["methods"]
                }
                alone = [
                    dataclasses.replace(c, mean=c.solver_mean, spread=c.solver_spread, mean_chance=0, spread_chance=0)
                    for c in by_method["mmps"]
                ]
                shown = [entry(some).replace(" | ", ", ") for some in (alone, *by_method.values())]
                rows.append([f"{noise:g}", str(n), *shown])
        parts += [f"**{operator}**", table(["noise", "calls", "exact denoiser", *result["methods"]], rows)]
    machine = result["machine"]
    parts.append(
        f"{result['samples']} samples a cell where a method is not affine; jaxdiff {machine['versions']['jaxdiff']}, jax "
        f"{machine['versions']['jax']}, {machine['processor']}, {machine['date'][:10]}."
    )
    return "\n\n".join(parts)


def measure(names: Iterable[str]) -> None:
    """Writes benchmarks/results/posterior.json; no names are all methods."""
    fields = [field.name for field in dataclasses.fields(Cell)]
    before = STORE.read()["methods"] if names else {}
    result: dict[str, Any] = {"machine": STORE.machine(), "samples": SAMPLES, "fields": fields, "methods": before}
    for name in names or METHODS:
        checked = check_posterior(METHODS[name], samples=SAMPLES)
        print(checked, flush=True)
        rounded = lambda v: float(f"{v:.4g}") if isinstance(v, float) else v  # noqa: E731
        rows = [[rounded(getattr(cell, field)) for field in fields] for cell in checked.cells]
        result["methods"][name] = {"bounded": checked["bounded"].measured, "cells": rows}
    STORE.write(result)


def main(
    what: tyro.conf.Positional[Literal["measure", "report"]] = "measure",
    names: tyro.conf.Positional[tuple[str, ...]] = (),
) -> None:
    """Measures, unless only the report is asked for, and writes the tables into docs/posterior.md.

    Args:
        what: both, or the report alone.
        names: methods; default all of them.
    """
    if what == "measure":
        measure(names)
    write_sections(DOCS / "posterior.md", {"tables": tables(STORE.read())})


if __name__ == "__main__":
    command(main, __doc__)
