"""Markdown of what made images do for a network that is trained with ten labelled ones."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tasks.tables import machine, table

NAMES = {"real": "ten real images", "pasted": "and objects pasted between them", "generated": "and generated images"}
SCORES = {"ap50": "AP@0.5", "ap": "AP 0.5–0.9", "aji": "AJI", "pq": "PQ", "dice": "Dice"}


def markdown(measured: Mapping[str, Any]) -> list[str]:
    """A table of the arms' scores by seed, and one of their differences, of each set of fields given."""
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where, entry in measured.items():
        seeds, how = entry["seeds"], entry["settings"]
        rows = [
            [seed, NAMES[arm], *(f"{of['scores'][score]['mean']:.3f}" for score in SCORES)]
            for seed, arms in seeds.items()
            for arm, of in arms.items()
        ]
        gains = [
            [difference, *(f"{of[score]['mean']:+.3f} ± {of[score]['standard_error']:.3f}" for score in SCORES)]
            for difference, of in entry["differences"].items()
        ]
        parts += [
            f"#### {where}",
            table(["seed", "trained with", *SCORES.values()], rows),
            f"Paired differences, mean and standard error of {len(seeds)} seeds, each with its own {how['real']} images "
            "and all trained anew:",
            table(["", *SCORES.values()], gains),
            f"The regression U-Net, {how['steps']} steps in each arm, with flips and turns in all; {how['made']} made "
            f"fields, of the same masks in both arms, are half of what is seen. The generator saw the same {how['real']} "
            f"images ({how['generator_steps']} steps). {machine(entry)}",
        ]
    return parts
