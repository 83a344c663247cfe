"""Results as JSON, as a markdown table inside docs/evidence.md, and as a sheet of samples beside real crops."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.measures import MEASURES
from benchmarks.report import table
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.shown.picture import sheet

COLUMNS = {
    "samples": "samples",
    "floor": "floor: train crops",
    "phase": "phase-randomised",
    "blurred": "blurred",
    "repeated": "64 repeated",
}


def markdown(result: dict[str, Any]) -> str:
    """The table of one result: a row a measure, a column a set, value and 95 % interval."""
    sets = result["table"]
    shown = [name for name in COLUMNS if name in sets]
    rows = []
    for measure in MEASURES:
        cells = [_cell(sets[name][measure.name]) for name in shown]
        passing = ", ".join(COLUMNS[name] for name in result["passed_by"][measure.name])
        mark = f"⚑ {passing}" if passing else "–"
        rows.append([f"{measure.name} ({measure.unit})", *cells, mark])
    return table(["measure", *(COLUMNS[name] for name in shown), "does not tell apart"], rows)


def _cell(row: dict[str, float | None]) -> str:
    if row["value"] is None:
        return "no nuclei"
    return " ".join([_number(row["value"]), f"[{_number(row['low'])}, {_number(row['high'])}]"])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def section(result: dict[str, Any]) -> str:
    """What docs/evidence.md says of one result."""
    s, dev, real = result["size"], result["segmentation"]["dev"], result["real"]
    binned = f", binned by {result['binning']}" if result["binning"] > 1 else ""
    split, num = result["against"], result["num"]
    lines = [
        f"{result['date']}; {num} crops of {s}×{s} pixels{binned}, from {real['fields']} `{split}` fields "
        f"({real['wells']} wells); {real['nuclei']} nuclei found in them, {100 * real['blank']:.0f} % of crops without "
        f"any. Segmentation on `dev` crops: Dice {dev['dice']:.3f}, AP {dev['ap']:.3f}, AP at 0.5 {dev['ap50']:.3f}. "
        f"{result['cpu_seconds']:.0f} s of one core, {result['machine']['processor']}.",
        "",
        markdown(result),
        "",
        f"`{result['command']}`",
    ]
    if result.get("sheet"):
        lines += ["", f"![Generated crops on the left, real ones on the right]({result['sheet']})"]
        lines += [
            "",
            "Left eight columns: generated; right eight: real. First of each set, not picked; one grey range.",
        ]
    return "\n".join(lines)


def side_by_side(samples: np.ndarray, real: np.ndarray, normaliser: Normaliser, path: Path, rows: int = 8) -> None:
    """A PNG of the first samples beside the first real crops, after asinh, in one grey range; a black column between."""
    z = [normaliser.forward(images[: 8 * rows, ..., None]) for images in (samples, real)]
    low, high = np.percentile(z[1], (0.1, 99.9))
    gap = np.full((rows, 1, *z[0].shape[1:]), low, np.float32)
    left, right = (part.reshape(rows, 8, *part.shape[1:]) for part in z)
    both = np.concatenate([left, gap, right], axis=1)
    if both.shape[2] < 64:  # small crops are shown twice as large
        both = both.repeat(2, axis=2).repeat(2, axis=3)
    sheet(both.reshape(-1, *both.shape[2:]), path, columns=17, low=low, high=high)
