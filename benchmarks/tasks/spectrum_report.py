"""Markdown of what was measured on the synthetic microscope."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.tasks.tables import machine, table

COLUMNS = {
    "psnr": "PSNR (dB)",
    "resolution_um": "resolution (µm)",
    "power_low": "power, low third",
    "power_middle": "middle",
    "power_high": "high",
}


def markdown(result: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """One table for each number of fields. names: titles of methods, with {samples}."""
    measured = result.get("spectrum", {})
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where, entry in measured.items():
        rows = [
            [
                names[name].format(samples=entry["settings"]["samples"]),
                *(f"{row[key]:.3g}" for key in COLUMNS),
                f"{_end(row):.3f}",
            ]
            for name, row in entry["rows"].items()
        ]
        parts += [
            table(["method", *COLUMNS.values(), "correlation, high third"], rows),
            f"{where} of {entry['size']}×{entry['size']} pixels of {entry['pixel_size_um']:.3g} µm. Resolution: where the "
            f"Fourier ring correlation with the noise-free truth falls to {entry['threshold']:g}; two pixels where it "
            f"never does. Power: as a share of the truth's, in thirds of the frequencies; 1 is right. {machine(entry)}",
        ]
    return parts


def _end(row: Mapping[str, Any]) -> float:
    return float(np.mean(np.array_split(row["correlation"], 3)[-1]))
