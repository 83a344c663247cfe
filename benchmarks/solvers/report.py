"""docs/solvers.md and the text of solvers.json, both from what was measured."""

import json
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.report import table
from benchmarks.solvers.prose import FOOT, HEAD
from benchmarks.solvers.scores import Cell

DIGITS = 5
KNOWN = {5: 0.05, 8: 0.02, 20: 0.005}
"""Errors aimed at on `mixture`, by calls."""
UNIT = ("DPMpp(2)", "uniform_lam")
"""What `overall` compares with."""


def dumps(result: Any, indent: str = "") -> str:
    """JSON with each cell on a line, floats to `DIGITS` digits except those of a learned sampler."""
    inner = indent + " "
    if isinstance(result, dict) and not _flat(result):
        rows = [f"{inner}{json.dumps(key)}: {dumps(value, inner)}" for key, value in result.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}" + ("" if indent else "\n")
    if isinstance(result, list) and any(isinstance(one, dict) for one in result):
        return "[\n" + ",\n".join(inner + dumps(one, inner) for one in result) + f"\n{indent}]"
    return json.dumps(_rounded(result), allow_nan=False)


def _flat(value: dict[str, Any]) -> bool:
    return "solver" in value or not any(isinstance(one, dict | list) for one in value.values())


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one if key == "sampler" else _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def markdown(stored: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD, targets(stored), overall(stored)]
    for name, problem in stored["problems"].items():
        parts += [f"## {name}\n\n{facts(problem)}", best_table(problem["best"], stored["calls"])]
        parts += [grid_table(problem, "DPMpp(2)", stored["calls"]), adaptive_line(problem["adaptive"])]
        if problem["moments"]:
            parts.append(moments_table(problem["moments"], stored["calls"]))
        if "diffusers" in problem:
            parts.append(diffusers_table(problem, stored["calls"]))
    parts.append(agreement(stored))
    parts.append(network(stored))
    parts.append(f"{FOOT}\n\n{taken(stored)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(problem: dict[str, Any]) -> str:
    """What the numbers of a problem rest on."""
    ends = problem["end_errors"]
    shown = ", ".join(f"{ends[f'{lam:.3f}']:.4f} at {lam:g}" for lam in (0.5, 1.5, 2.5, 3.5, 4.5))
    return (
        f"{problem['start_noises']} start noises; grids chosen on {problem['chosen_on']} others, samplers tuned on "
        f"{problem['tuned_on']} others. Standard deviation of the data {problem['std']:.2f}. D of the exact state (no other "
        f"error), by λ of the last call: {shown}."
    )


def taken(stored: dict[str, Any]) -> str:
    """Where and in what time."""
    measured = stored["problems"] | ({"a trained net": stored["network"]} if "network" in stored else {})
    seconds = ", ".join(
        f"{name} {part['cpu_seconds']:.0f} s (load {part['machine']['load_at_start'][0]:.0f})"
        for name, part in measured.items()
    )
    machine = max((part["machine"] for part in measured.values()), key=lambda one: one["date"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if name != "jaxdiff")
    return (
        f"Measured until {machine['date'][:10]} on {machine['cores']} cores of {machine['processor']}; {versions}. Processor "
        f"time of our side: {seconds}. GPU: not measured yet; the command is the same."
    )


def overall(stored: dict[str, Any], shown: int = 8) -> str:
    """Solvers and schedulers as they come, by the geometric mean of their errors over problems and calls."""
    logs: dict[tuple[str, str, str], list[float]] = {}
    for problem in stored["problems"].values():
        unit = {one["calls"]: one["rms"] for one in problem["cells"] if (one["solver"], one["grid"]) == UNIT}
        for whose, name in (("cells", "solver"), ("diffusers", "scheduler")):
            for one in problem.get(whose, []):
                if one["rms"] is not None:
                    key = ("diffusers" if whose == "diffusers" else "jaxdiff", one[name], one["grid"])
                    logs.setdefault(key, []).append(math.log(one["rms"] / unit[one["calls"]]))
    most = max(map(len, logs.values()))
    ratios = sorted((math.exp(sum(these) / most), *key) for key, these in logs.items() if len(these) == most)
    rows = []
    for side in ("jaxdiff", "diffusers"):
        best = [row for row in ratios if row[1] == side][:shown]
        rows += [[f"{ratio:.2f}", side, name, grid] for ratio, _, name, grid in best]
    problems = ", ".join(f"`{name}`" for name in stored["problems"])
    return (
        "## Without choosing anything\n\nrms on the grid's default end (of diffusers: as its settings are), relative to "
        f"{UNIT[0]} on `{UNIT[1]}`, geometric mean over {problems} and all calls; "
        f"the best {shown} of each side.\n\n" + table(["error", "", "as it comes", "grid"], rows)
    )


def targets(stored: dict[str, Any]) -> str:
    """The errors aimed at on the mixture, and the least measured."""
    if "mixture" not in stored["problems"]:
        return ""
    best = stored["problems"]["mixture"]["best"]
    rows = []
    for calls, aim in KNOWN.items():
        if calls not in stored["calls"]:
            continue
        groups = [
            [one for one in best if one["calls"] == calls and _kind(one) == kind] for kind in ("tuned", "D", "step")
        ]
        cells = [f"{least['rms']:.4f} {least['solver'] if least['solver'] != 'Tuned' else ''}".strip() if group else "–"
                 for group in groups for least in [min(group, key=lambda one: one["rms"]) if group else {}]]  # fmt: skip
        rows.append([str(calls), str(aim), *cells])
    return table(["`mixture`, calls", "aimed at", "best tuned", "best with D", "best with a last step"], rows)


def _kind(one: Cell) -> str:
    return "tuned" if one["solver"] == "Tuned" else "D" if one["last"] is None else "step"


def best_table(best: Sequence[Cell], calls: Sequence[int]) -> str:
    """Solvers on their own best grids, least error at 8 calls (or the middle of `calls`) first."""
    middle = 8 if 8 in calls else sorted(calls)[len(calls) // 2]
    rows: dict[tuple[str, str], dict[int, Cell]] = {}
    for one in best:
        rows.setdefault((one["solver"], _kind(one)), {})[one["calls"]] = one
    lines = []
    ends = {"tuned": "its own", "D": "D", "step": "a step"}
    for (solver, kind), by_calls in sorted(
        rows.items(), key=lambda row: row[1].get(middle, row[1][min(row[1])])["rms"]
    ):
        cells = [_with_grid(by_calls[n]) if n in by_calls else "–" for n in calls]
        lines.append([solver, ends[kind], *cells])
    return table(["solver", "ends with", *_calls(calls)], lines)


def _calls(calls: Sequence[int]) -> list[str]:
    return [f"{n} calls" for n in calls]


SHORT = {
    "uniform_lam": "λ", "uniform_time": "t", "quadratic": "t²", "karras": "ρ", "its own": "",
    "discrete leading": "lead", "discrete linspace": "lin", "discrete trailing": "trail",
}  # fmt: skip


def _with_grid(one: Cell) -> str:
    where = f"{SHORT[one['grid']]} {one['end']:.2f}" + (f" → {one['last']:g}" if one["last"] else "")
    fewer = f", {one['nfe']} calls" if one["nfe"] != one["calls"] else ""
    return f"{one['rms']:.4f} ({where.strip()}{fewer})"


def grid_table(problem: dict[str, Any], solver: str, calls: Sequence[int]) -> str:
    """One solver on every grid with its default end."""
    rows: dict[str, dict[int, Cell]] = {}
    for one in problem["cells"]:
        if one["solver"] == solver:
            rows.setdefault(one["grid"], {})[one["calls"]] = one
    lines = []
    for kind, by_calls in rows.items():
        cells = [f"{by_calls[n]['rms']:.4f} (to {by_calls[n]['end']:.2f})" for n in calls]
        lines.append([kind, *cells])
    return table([f"`{solver}` on", *_calls(calls)], lines)


def adaptive_line(rows: Sequence[Cell]) -> str:
    """diffrax's adaptive Tsit5."""
    shown = "; ".join(
        f"{one['rms']:.4f} with {one['nfe']:.0f} calls at {one['tolerance']:g} (its batch takes {one['batch_nfe']:.0f})"
        for one in rows
    )
    return f"Adaptive `diffrax.Tsit5`, by tolerance: {shown}."


def moments_table(rows: Sequence[Cell], calls: Sequence[int]) -> str:
    """Relative error of the covariance, stochastic solvers on the default λ-uniform grid."""
    by_solver: dict[str, dict[int | None, float]] = {}
    for one in rows:
        by_solver.setdefault(one["solver"], {})[one["calls"]] = one["covariance_error"]
    floor = by_solver.pop("exact solution")[None]
    lines = [[solver, *(f"{errors[n]:.3f}" for n in calls)] for solver, errors in by_solver.items()]
    return table([f"relative error of the covariance (as many exact solutions: {floor:.3f})", *_calls(calls)], lines)


def diffusers_table(problem: dict[str, Any], calls: Sequence[int]) -> str:
    """Each scheduler on the best of its grids."""
    rows: dict[str, dict[int, Cell]] = {}
    for one in problem["diffusers"]:
        best = rows.setdefault(one["scheduler"], {})
        if one["rms"] is not None and (one["calls"] not in best or one["rms"] < best[one["calls"]]["rms"]):
            best[one["calls"]] = one
    lines = []
    for name, by_calls in rows.items():
        cells = [f"{by_calls[n]['rms']:.4f} ({by_calls[n]['grid']})" if n in by_calls else "NaN" for n in calls]
        lines.append([name, *cells])
    return table(["diffusers", *_calls(calls)], lines)


def agreement(stored: dict[str, Any]) -> str:
    """Where diffusers' schedulers and our kernel take the same steps."""
    if "diffusers" not in stored:
        return "## Beside diffusers\n\nNot measured here: `--torch-python` was not given."
    cells = [one for one in stored["problems"].get("mixture", {}).get("diffusers", []) if "agreement" in one]
    lines = []
    groups: dict[tuple, list[Cell]] = {}
    for one in cells:
        groups.setdefault((one["scheduler"], one["grid"], one["same"], one["why"]), []).append(one)
    for (name, grid, same, why), these in groups.items():
        numbers = [one["agreement"] for one in these if one["agreement"] is not None]
        worst = [one["agreement_all"] for one in these if one["agreement_all"] is not None]
        shown = [f"{max(numbers):.1e}", f"{max(worst):.1e}"] if numbers else ["–", "–"]
        mark = "" if same else " ✗"
        lines.append([f"{name}, {grid}{mark}", ", ".join(str(one["calls"]) for one in these), *shown, why or ""])
    count = sum(bool(one["same"]) for one in cells)
    return (
        f"## Beside diffusers {stored['diffusers']['diffusers']}\n\nLargest difference on `mixture` between a scheduler's "
        "states, on the whole way, and ours with the same method on the λ it used. "
        f"{count} of {len(cells)} cells agree to 1e-4 on 99 % of the start noises; ✗ marks the others. The rest of the start "
        'noises lie where the flow parts and amplify float32, in which diffusers steps. "What differs" says '
        "how the scheduler departs from our solver of that name, or from itself.\n\n"
        + table(["scheduler, grid", "calls", "99 % of start noises", "all", "what differs"], lines)
    )


def network(stored: dict[str, Any]) -> str:
    """The trained net."""
    if "network" not in stored:
        return "## A trained net\n\nNot measured here: `--run` was not given."
    net = stored["network"]
    calls = sorted({one["calls"] for one in net["best"]})
    lines = [
        [one["solver"], str(one["nfe"]), f"{one['ms_per_image_and_call']:.2f}", f"{one['ms_of_bare_call']:.2f}"]
        for one in net["wall"]
    ]
    return (
        f"## A trained net\n\n`{net['run']}` {tuple(net['shape'])}, float32, {net['start_noises']} start noises; exact is "
        f"{net['reference']}, whose images have std {net['std']:.2f}.\n\n{best_table(net['best'], calls)}\n\n"
        + table(["wall time", "calls", "ms an image and call", "ms of a bare call"], lines)
    )
