"""`python -m benchmarks.posterior [measure [METHOD …] | report]`: methods of posterior sampling beside closed forms.

measure: `jd.check_posterior` of every method, or of some while the rest of the result stays, with more samples; writes
benchmarks/results/posterior.json.
report: writes the tables between the marks of docs/posterior.md from it.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, describe, write
from jaxdiff.conformance.posterior import Cell, check_posterior
from jaxdiff.conformance.posterior.report import entry
from jaxdiff.guidance.posterior import DDNM, DPS, MMPS, DiffPIR, PiGDM

SAMPLES = 1024
DOCS = Path(__file__).parents[1] / "docs" / "posterior.md"
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


def load() -> dict[str, Any]:
    """The committed result."""
    return json.loads((RESULTS / "posterior.json").read_text())


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
    lines = ["| method | network, a step | " + " | ".join(operators) + " | harsher runs |"]
    lines += ["|---|---|" + "---|" * (len(operators) + 1)]
    for name, entries in result["methods"].items():
        parts = [[c for c in cells(result, name) if c.operator == operator] for operator in operators]
        right = [f"{sum(c.verdict in ('right', 'solver') for c in part)} of {len(part)}" for part in parts]
        lines.append(f"| {name} | {COST[name]:g} | {' | '.join(right)} | {entries['bounded']} |")
    for operator in operators:
        lines += ["", f"**{operator}**", ""]
        lines += ["| noise | calls | exact denoiser | " + " | ".join(result["methods"]) + " |"]
        lines += ["|---|---|---|" + "---|" * len(result["methods"])]
        for noise in noises:
            for n in calls:
                here = {
                    name: [c for c in cells(result, name) if (c.operator, c.noise, c.calls) == (operator, noise, n)]
                    for name in result["methods"]
                }
                alone = [
                    dataclasses.replace(c, mean=c.solver_mean, spread=c.solver_spread, mean_chance=0, spread_chance=0)
                    for c in here["mmps"]
                ]
                shown = [entry(some).replace(" | ", ", ") for some in (alone, *here.values())]
                lines.append(f"| {noise:g} | {n} | {' | '.join(shown)} |")
    machine = result["machine"]
    lines += [
        "",
        f"{result['samples']} samples a cell where a method is not affine; jaxdiff {machine['versions']['jaxdiff']}, jax "
        f"{machine['versions']['jax']}, {machine['processor']}, {machine['date'][:10]}.",
    ]
    return "\n".join(lines)


def measure(names: list[str]) -> None:
    """Writes benchmarks/results/posterior.json."""
    fields = [field.name for field in dataclasses.fields(Cell)]
    before = load()["methods"] if names else {}
    result: dict[str, Any] = {"machine": describe(), "samples": SAMPLES, "fields": fields, "methods": before}
    for name in names or METHODS:
        checked = check_posterior(METHODS[name], samples=SAMPLES)
        print(checked, flush=True)
        rounded = lambda v: float(f"{v:.4g}") if isinstance(v, float) else v  # noqa: E731
        rows = [[rounded(getattr(cell, field)) for field in fields] for cell in checked.cells]
        result["methods"][name] = {"bounded": checked["bounded"].measured, "cells": rows}
    print("written:", write("posterior", result))


def report() -> None:
    """Writes the tables into docs/posterior.md."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition("<!-- tables -->\n")
    _, _, after = rest.partition("<!-- end of tables -->")
    DOCS.write_text(f"{before}<!-- tables -->\n{tables(load())}\n<!-- end of tables -->{after}", encoding="utf-8")
    print("written:", DOCS)


if __name__ == "__main__":
    what, *names = sys.argv[1:] or ["measure"]
    if what == "measure":
        measure(names)
    report()
