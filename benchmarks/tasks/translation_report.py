"""Markdown of what was measured of translation."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tasks.tables import interval, machine, table

NAMES = {
    "colour_table": "mean colour of each green level",
    "regression": "regression U-Net",
    "diffusion": "**diffusion**, mean of {samples}",
    "diffusion_one_sample": "diffusion, one sample",
}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """Scores of val, calls of dev, uncertainty."""
    entry = result.get("scores", {}).get("translation", {}).get("val")
    calls = result.get("calls", {}).get("translation")
    if entry is None or calls is None:
        return ["Not measured yet."]
    rows = [
        [
            NAMES[name].format(samples=entry["settings"]["samples"]),
            interval(of["scores"]["psnr"]),
            interval(of["scores"]["ssim"]),
            f"{of['seconds']:.2g}",
        ]
        for name, of in entry["methods"].items()
    ]
    leads = "; ".join(f"{NAMES[name]} {interval(of['psnr'], sign='+')}" for name, of in entry["leads"].items())
    tried = [
        [
            row["method"],
            str(row["calls"]),
            str(row["samples"]),
            f"{row['psnr']:.4g}",
            f"{row['ssim']:.4g}",
            f"{row['seconds']:.2g}",
        ]
        for row in calls["rows"]
    ]
    known = entry["uncertainty"]
    bins = [[f"{std:.3g}", f"{error:.3g}"] for std, error in zip(known["std"], known["error"])]
    return [
        "The red and blue of blood smears (BCCD, pixels binned by 2) from their green, `configs/blood_translation.py`, a "
        "Brownian bridge.",
        table(["method", "PSNR (dB)", "SSIM", "s an image"], rows),
        f"PSNR of diffusion minus that of: {leads}. Means over {len(entry['fields'])} images of val, 95 % intervals of a "
        f"bootstrap over images; {entry['settings']['calls']} calls. {machine(entry)}",
        table(["method", "calls", "samples", "PSNR (dB)", "SSIM", "s a crop"], tried),
        f"Middles of {calls['size']}×{calls['size']} pixels of {len(calls['fields'])} images of the held-out fifth of train. "
        f"Chosen: {calls['chosen']} calls ({calls['rule']}). {machine(calls)}",
        f"{100 * known['coverage']:.1f} % of {known['pixels']} values lie between the least and the greatest of "
        f"{known['samples']} samples ({100 * known['nominal']:.0f} % if truth and samples were alike).",
        table(["predicted std, rms", "error of the mean, rms"], bins),
    ]
