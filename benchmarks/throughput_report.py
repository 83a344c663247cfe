"""The figure and the table of `benchmarks.throughput`, from its JSON.

    python -m benchmarks.throughput_report      (needs matplotlib: benchmarks/requirements.txt)

Writes docs/images/throughput.png and benchmarks/results/throughput.md, and prints the latter.
"""

from typing import Any

import matplotlib

from benchmarks.command import command
from benchmarks.report import DOCS
from benchmarks.report import table as markdown
from benchmarks.store import RESULTS, Store

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = DOCS / "images" / "throughput.png"
TITLES = {
    "cifar_32": "32×32, DDPM's UNet",
    "adm_64": "64×64, ADM's UNet",
    "own_64": "64×64, jd.UNet",
    "own_256": "256×256, jd.UNet",
}


def peers(run: dict[str, Any]) -> list[str]:
    """Names of PyTorch's sides."""
    return [name for name in next(iter(run["networks"].values()))["sides"] if name != "jaxdiff"]


def table(kind: str, run: dict[str, Any] | None) -> str:
    """Markdown: one row a network."""
    if run is None:
        return f"**{kind.upper()}**: not measured yet."
    machine, options = run["machine"], run["options"]
    device = (
        machine["torch"]["device"]
        if kind == "gpu"
        else f"{machine['processor']}, {machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    )
    versions = {**machine["versions"], **machine["torch"]["versions"]}
    names = ", ".join(f"{name} {versions[name]}" for name in ("jax", "torch", "diffusers"))
    loads = [network["load"] for network in run["networks"].values()]
    others, peak = peers(run), max(run["matrix_product_tflops_per_second"].values())
    header = ["network", "parameters", "batch", "jaxdiff NFE·images/s", "share of peak"]
    header += [f"over {name}" for name in others] + ["compile s", "peak memory GB"]
    rows = []
    for name, network in run["networks"].items():
        sides = network["sides"]
        ours = sides["jaxdiff"]
        every = ["jaxdiff", *others]
        cells = [
            TITLES[name],
            f"{1e-6 * network['parameters']:.1f} M",
            str(network["batch"]),
            f"{ours['nfe_images_per_second']:.1f}",
            f"{100 * ours['tflops_per_second'] / peak:.0f} %",
            *(f"{sides[other]['jaxdiff_is_faster_by']:.2f}×" for other in others),
            " / ".join(f"{sides[side]['compile_seconds']:.0f}" for side in every if side != "eager"),
            " / ".join(f"{sides[side]['peak_memory_gb']:.1f}" for side in every),
        ]
        rows.append(cells)
    about = (
        f"**{kind.upper()}** ({device}; {options['dtype']}; {options['solver']}; {names}; {machine['date'][:10]}; load "
        f"before each network {min(loads)} to {max(loads)}). Compile times are jaxdiff / {' / '.join(others[1:])}, memory "
        f"jaxdiff / {' / '.join(others)}."
    )
    return f"{about}\n\n{markdown(header, rows)}"


def draw(runs: dict[str, dict[str, Any]]) -> None:
    """Bars of how much faster jaxdiff is, a panel for each device; 1 is as fast."""
    figure, axes = plt.subplots(1, len(runs), figsize=(6.2 * len(runs), 3.4), squeeze=False, layout="constrained")
    for axis, (kind, run) in zip(axes[0], runs.items()):
        others, networks = peers(run), run["networks"]
        for i, other in enumerate(others):
            rows = [network["sides"][other] for network in networks.values()]
            places = [row + (i - (len(others) - 1) / 2) * 0.8 / len(others) for row in range(len(rows))]
            ratios = [row["jaxdiff_is_faster_by"] for row in rows]
            spread = [
                [r - row["jaxdiff_is_faster_by_quartiles"][0] for r, row in zip(ratios, rows)],
                [row["jaxdiff_is_faster_by_quartiles"][1] - r for r, row in zip(ratios, rows)],
            ]
            bars = axis.barh(places, ratios, 0.75 / len(others), xerr=spread, label=f"PyTorch {other}", capsize=2)
            axis.bar_label(bars, [f" {ratio:.2f}×" for ratio in ratios], padding=6, fontsize=8)
        axis.axvline(1.0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(networks)), [TITLES[name] for name in networks])
        axis.invert_yaxis()
        axis.margins(x=0.15)
        cores = run["machine"]["cores"]
        device = run["machine"]["torch"]["device"] if kind == "gpu" else f"CPU, {cores} core{'s' if cores > 1 else ''}"
        axis.set_title(f"{device}, {run['options']['dtype']}", fontsize=10)
        axis.set_xlabel("images/s of jaxdiff over PyTorch diffusers")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=len(labels))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=120)


def main() -> None:
    stored = Store("throughput").read()
    text = "\n\n".join(table(kind, stored[kind]) for kind in ("gpu", "cpu")) + "\n"
    (RESULTS / "throughput.md").write_text(text)
    draw({kind: run for kind, run in stored.items() if run is not None})
    print(text)


if __name__ == "__main__":
    command(main, __doc__)
