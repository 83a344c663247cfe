"""rms error against calls, a panel for each problem."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FormatStrFormatter, LogLocator

OURS = {"DDIM": "C7", "DPMpp(2)": "C0", "UniPC(2, bh2)": "C2", "IPNDM(3)": "C4", "EDMHeun": "C5"}
THEIRS = {"DPM++2M": ("trailing", "C0"), "UniPC 2, bh2": ("trailing", "C2")}


def draw(stored: dict[str, Any], path: Path) -> None:
    """Own best grids (solid: ends with D; dashed: with a step), tuned samplers, and diffusers on its trailing grid."""
    problems = dict(stored["problems"])
    if "network" in stored:
        problems["network"] = stored["network"]
    columns = min(3, len(problems) + 1)
    rows = -(-(len(problems) + 1) // columns)  # the last panel holds the legend
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.9 * rows), squeeze=False)
    for axis, (name, problem) in zip(axes.flat, problems.items()):
        _panel(axis, problem)
        axis.set_title(f"{name}, std of the data {problem['std']:.2f}", fontsize=10)
    for axis in axes.flat[len(problems) :]:
        axis.axis("off")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        handles |= {label: line for line, label in zip(*axis.get_legend_handles_labels())}
    axes.flat[-1].legend(handles.values(), handles, fontsize=8, loc="center")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axis: Any, problem: dict[str, Any]) -> None:
    def line(cells, **style):
        cells = sorted(cells, key=lambda one: one["nfe"])
        axis.plot([one["nfe"] for one in cells], [one["rms"] for one in cells], **{"ms": 4, "lw": 1.4, **style})

    best = problem["best"]
    for name, color in OURS.items():
        for stepped, style in ((False, "-o"), (True, "--s")):
            cells = [one for one in best if one["solver"] == name and (one["last"] is not None) == stepped]
            if cells:
                ending = ", last step" if stepped else ""
                line(cells, color=color, linestyle=style[:-1], marker=style[-1], label=name + ending)
    tuned = [one for one in best if one["solver"] == "Tuned"]
    if tuned:
        line(tuned, color="k", marker="*", ms=9, label="tuned")
    for name, (grid, color) in THEIRS.items():
        cells = [one for one in problem.get("diffusers", []) if (one["scheduler"], one["grid"]) == (name, grid)]
        if cells:
            line(cells, color=color, linestyle=":", marker="x", label=f"diffusers {name}, {grid}")
    theirs = [one for one in problem.get("diffusers", []) if one["rms"] is not None]
    if theirs:
        least = [min((one for one in theirs if one["calls"] == n), key=lambda one: one["rms"]) for n in _calls(theirs)]
        line(least, color="k", linestyle=":", marker="x", label="diffusers, best scheduler and grid")
    axis.set_yscale("log")
    axis.set_xscale("log")
    ticks = _calls(best)
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.minorticks_off()
    axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.yaxis.set_minor_formatter(FormatStrFormatter("%.4g"))
    axis.yaxis.set_major_formatter(FormatStrFormatter("%.4g"))
    axis.tick_params(labelsize=8, which="both")
    axis.grid(alpha=0.3, which="both", lw=0.5)
    axis.set_xlabel("network calls", fontsize=9)
    axis.set_ylabel("rms error", fontsize=9)


def _calls(cells: list[dict[str, Any]]) -> list[int]:
    return sorted({one["calls"] for one in cells})
