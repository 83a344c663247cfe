"""The table of docs/speed.md and its picture, from benchmarks/results/chips.json."""

from typing import Any

from benchmarks.report import DOCS, write_sections
from benchmarks.report import table as markdown

FIGURE = DOCS / "images" / "chips.png"
TITLES = {
    "call": "one network call",
    "sample": "the whole sampler",
    "windowed": "256×256 in windows, one image",
    "train": "training step, one chip",
    "train-fsdp": "training step, all chips, fsdp",
}


def line(key: str, row: dict[str, Any]) -> str:
    """One row for the terminal."""
    if "does_not_fit" in row:
        return f"{key}: does not fit ({row['does_not_fit']})"
    cost = f"{row['bytes'] / 1e9:.2f} GB" if row["cycles"] is None else f"{row['cycles'] / 1e6:.1f} M cycles"
    share = "" if row["share_of_peak"] is None else f", {100 * row['share_of_peak']:.0f} % of peak"
    number, moved = row["moves"]["kernels"], row["moves"]["cost"]
    return (
        f"{key}: {cost}{share}, {row['kernels']} kernels, {number} of them only move ({moved / 1e6:.1f} M), temporaries "
        f"{row['temporaries'] / 1e9:.2f} GB, collectives {_collectives(row)}, compiled in {row['compile_seconds']:.0f} s "
        "(compiler's estimate)"
    )


def table(rows: dict[str, Any]) -> str:
    """Markdown: one row a program, network, batch, type and slice."""
    names = ["program", "network", "type", "images a chip", "on", "compiler's estimate"]
    names += ["share of peak (estimate)", "kernels", "of them only move", "temporaries GB", "collectives"]
    lines = []
    for key in sorted(rows, key=_order):
        program, network, dtype, batch, on = key.split()
        lines.append([TITLES[program], network, dtype, batch, on, *_cells(rows[key])])
    versions = sorted({f"{name} {version}" for row in rows.values() for name, version in row["versions"].items()})
    dates = sorted({row["date"] for row in rows.values()})
    return "\n".join(
        [
            "Compilers' estimates for chips that were not there, not times: they rank designs, leave out what overlaps, and "
            "count a loop's body once. The H200's share of peak is an upper bound: bytes by bandwidth or operations by peak, "
            f"whichever takes longer. `python -m benchmarks.chips`, {dates[0]} to {dates[-1]}; {', '.join(versions)}.",
            "",
            markdown(names, lines),
            "",
            "![Share of peak by the compilers' estimates](images/chips.png)",
        ]
    )


def write(rows: dict[str, Any]) -> None:
    """The table between its marks, and the picture where matplotlib is there."""
    if rows:
        write_sections(DOCS / "speed.md", {"chips": f"\n{table(rows)}\n"})
        draw(rows)


def draw(rows: dict[str, Any]) -> None:
    """Share of peak of each row."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (benchmarks/requirements.txt)")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [key for key in sorted(rows, key=_order) if rows[key].get("share_of_peak")]
    figure, axis = plt.subplots(figsize=(8, 1 + 0.24 * len(shown)), layout="constrained")
    colours = {
        kind: f"C{i}" for i, kind in enumerate(dict.fromkeys(key.split()[-1].partition(":")[0] for key in shown))
    }
    bars = axis.barh(
        range(len(shown)),
        [100 * rows[key]["share_of_peak"] for key in shown],
        color=[colours[key.split()[-1].partition(":")[0]] for key in shown],
    )
    axis.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axis.set_yticks(range(len(shown)), shown, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("% of the chip's bfloat16 peak: compilers' estimates, not measured")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=100)
    plt.close(figure)


def _cells(row: dict[str, Any]) -> list[str]:
    if "does_not_fit" in row:
        return ["does not fit", *[""] * 5]
    cost = f"{row['bytes'] / 1e9:.2f} GB" if row["cycles"] is None else f"{row['cycles'] / 1e6:.1f} M cycles"
    cost += " (estimate)"
    share = "" if row["share_of_peak"] is None else f"{100 * row['share_of_peak']:.0f} %"
    temporaries = f"{row['temporaries'] / 1e9:.2f}"
    return [cost, share, str(row["kernels"]), str(row["moves"]["kernels"]), temporaries, _collectives(row)]


def _collectives(row: dict[str, Any]) -> str:
    return ", ".join(f"{count} {kind}" for kind, (count, _) in row["collectives"].items()) or "none"


def _order(key: str) -> tuple[Any, ...]:
    program, network, dtype, batch, on = key.split()
    return list(TITLES).index(program), network, on, dtype, int(batch)
