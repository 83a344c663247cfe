"""`python -m benchmarks.choose`: writes the tables of docs/choose.md from what the other benchmarks stored."""

import json
import math
from pathlib import Path
from typing import Any

from benchmarks import posterior
from benchmarks.machine import RESULTS

DOCS = Path(__file__).parents[1] / "docs" / "choose.md"
UNIT = ("DPMpp(2)", "uniform_lam")
"""The default solver and grid, which the others are compared with."""
SHOWN = 4


def load(name: str) -> dict[str, Any]:
    """A committed result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def as_it_comes(stored: dict[str, Any], calls: int) -> list[tuple[float, str, str]]:
    """(error, solver, grid), best first: rms over that of the default, geometric mean over the problems, on default ends."""
    logs: dict[tuple[str, str], list[float]] = {}
    for problem in stored["problems"].values():
        cells = {(c["solver"], c["grid"]): c["rms"] for c in problem["cells"] if c["calls"] == calls}
        for key, rms in cells.items():
            if rms is not None:
                logs.setdefault(key, []).append(math.log(rms / cells[UNIT]))
    whole = {key: these for key, these in logs.items() if len(these) == len(stored["problems"])}
    return sorted((math.exp(sum(these) / len(these)), *key) for key, these in whole.items())


def solvers_table() -> str:
    """What to take when nothing is tuned, and what tuning gains."""
    stored = load("solvers")
    lines = ["| calls | best as they come, error over that of the default | tuned |", "|---|---|---|"]
    for calls in stored["calls"]:
        best = ", ".join(f"{s} on {g} {ratio:.2f}" for ratio, s, g in as_it_comes(stored, calls)[:SHOWN])
        lines.append(f"| {calls} | {best} | {tuned(stored, calls)} |")
    return "\n".join(lines)


def tuned(stored: dict[str, Any], calls: int) -> str:
    """The same number of the tuned samplers, over the problems that have one."""
    logs = []
    for problem in stored["problems"].values():
        own = [c["rms"] for c in problem["best"] if c["solver"] == "Tuned" and c["calls"] == calls]
        unit = [c["rms"] for c in problem["cells"] if (c["solver"], c["grid"], c["calls"]) == (*UNIT, calls)]
        logs += [math.log(one / unit[0]) for one in own if one is not None]
    return f"{math.exp(sum(logs) / len(logs)):.2f}" if logs else "–"


def noise_table() -> str:
    """How right the covariance of samples is, by η."""
    stored = load("solvers")
    problems = [name for name, problem in stored["problems"].items() if problem["moments"]]
    lines = ["| solver | " + " | ".join(f"{n} calls" for n in stored["calls"]) + " |"]
    lines += ["|---|" + "---|" * len(stored["calls"])]
    rows = {m["solver"] for name in problems for m in stored["problems"][name]["moments"] if m["calls"] is not None}
    for solver in sorted(rows):
        errors = []
        for calls in stored["calls"]:
            here = [
                m["covariance_error"]
                for name in problems
                for m in stored["problems"][name]["moments"]
                if (m["solver"], m["calls"]) == (solver, calls)
            ]
            errors.append(f"{math.exp(sum(map(math.log, here)) / len(here)):.3f}")
        lines.append(f"| {solver} | {' | '.join(errors)} |")
    exact = [
        m["covariance_error"] for name in problems for m in stored["problems"][name]["moments"] if m["calls"] is None
    ]
    lines += ["", f"As many exact solutions: {math.exp(sum(map(math.log, exact)) / len(exact)):.3f}."]
    return "\n".join(lines)


def methods_table() -> str:
    """The cheapest method that is right, for each operator."""
    stored = posterior.load()
    operators = list(dict.fromkeys(cell.operator for cell in posterior.cells(stored, "mmps")))
    lines = ["| operator | method | right from 20 calls on | network, a step |", "|---|---|---|---|"]
    for operator in operators:
        name = posterior.best(stored, (operator,))
        some = [c for c in posterior.cells(stored, name) if c.operator == operator and c.calls >= posterior.FEW]
        right = sum(c.verdict in ("right", "solver") for c in some)
        lines.append(f"| {operator} | {name} | {right} of {len(some)} | {posterior.COST[name]:g} |")
    return "\n".join(lines)


def calls_table() -> str:
    """Calls of the trained tasks, and the rule that chose them."""
    lines = ["| task | calls | chosen as |", "|---|---|---|"]
    for task, part in load("tasks")["calls"].items():
        if "chosen" in part:
            lines.append(f"| {task} | {part['chosen']} | {part['rule']} |")
    return "\n".join(lines)


TABLES = {"solvers": solvers_table, "noise": noise_table, "methods": methods_table, "calls": calls_table}


def written(text: str) -> str:
    """The page with its tables made again."""
    for name, table in TABLES.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- end of {name} -->")
        text = f"{before}<!-- {name} -->\n{table()}\n<!-- end of {name} -->{after}"
    return text


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
    print("written:", DOCS)
