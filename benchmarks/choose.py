"""`python -m benchmarks.choose`: writes the tables of docs/choose.md from what the other benchmarks stored."""

import math
from typing import Any

from benchmarks import posterior
from benchmarks.command import command
from benchmarks.report import DOCS, table, write_sections
from benchmarks.store import Store

PAGE = DOCS / "choose.md"
UNIT = ("DPMpp(2)", "uniform_lam")
"""The default solver and grid, which the others are compared with."""
SHOWN = 4


def as_it_comes(stored: dict[str, Any], calls: int) -> list[tuple[float, str, str]]:
    """(error, solver, grid), best first: rms over that of the default, geometric mean over the problems, on default ends."""
    logs: dict[tuple[str, str], list[float]] = {}
    for problem in stored["problems"].values():
        cells = {(c["solver"], c["grid"]): c["rms"] for c in problem["cells"] if c["calls"] == calls}
        for key, rms in cells.items():
            if rms is not None:
                logs.setdefault(key, []).append(math.log(rms / cells[UNIT]))
    complete = {key: these for key, these in logs.items() if len(these) == len(stored["problems"])}
    return sorted((math.exp(sum(these) / len(these)), *key) for key, these in complete.items())


def solvers_table() -> str:
    """What to take when nothing is tuned, and what tuning gains."""
    stored = Store("solvers").read()
    rows = []
    for calls in stored["calls"]:
        best = ", ".join(f"{s} on {g} {ratio:.2f}" for ratio, s, g in as_it_comes(stored, calls)[:SHOWN])
        rows.append([str(calls), best, tuned(stored, calls)])
    return table(["calls", "best as they come, error over that of the default", "tuned"], rows)


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
    stored = Store("solvers").read()
    problems = [name for name, problem in stored["problems"].items() if problem["moments"]]
    rows = []
    solvers = {m["solver"] for name in problems for m in stored["problems"][name]["moments"] if m["calls"] is not None}
    for solver in sorted(solvers):
        errors = []
        for calls in stored["calls"]:
            errors_of_solver = [
                m["covariance_error"]
                for name in problems
                for m in stored["problems"][name]["moments"]
                if (m["solver"], m["calls"]) == (solver, calls)
            ]
            errors.append(f"{math.exp(sum(map(math.log, errors_of_solver)) / len(errors_of_solver)):.3f}")
        rows.append([solver, *errors])
    exact = [
        m["covariance_error"] for name in problems for m in stored["problems"][name]["moments"] if m["calls"] is None
    ]
    floor = math.exp(sum(map(math.log, exact)) / len(exact))
    head = ["solver", *(f"{n} calls" for n in stored["calls"])]
    return f"{table(head, rows)}\n\nAs many exact solutions: {floor:.3f}."


def methods_table() -> str:
    """The cheapest method that is right, for each operator."""
    stored = posterior.STORE.read()
    operators = list(dict.fromkeys(cell.operator for cell in posterior.cells(stored, "mmps")))
    rows = []
    for operator in operators:
        name = posterior.best(stored, (operator,))
        some = [c for c in posterior.cells(stored, name) if c.operator == operator and c.calls >= posterior.FEW]
        right = sum(c.verdict in ("right", "solver") for c in some)
        rows.append([operator, name, f"{right} of {len(some)}", f"{posterior.COST[name]:g}"])
    return table(["operator", "method", "right from 20 calls on", "network, a step"], rows)


def calls_table() -> str:
    """Calls of the trained tasks, and the rule that chose them."""
    calls = Store("tasks").read()["calls"]
    rows = [[task, str(part["chosen"]), part["rule"]] for task, part in calls.items() if "chosen" in part]
    return table(["task", "calls", "chosen as"], rows)


TABLES = {"solvers": solvers_table, "noise": noise_table, "methods": methods_table, "calls": calls_table}


def main() -> None:
    """The page with its tables made again."""
    write_sections(PAGE, {name: text() for name, text in TABLES.items()})


if __name__ == "__main__":
    command(main, __doc__)
