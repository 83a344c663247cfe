"""Markdown of what was measured of classification."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tasks.tables import interval, machine, table

NAMES = {
    "size_rule": "stained area, two limits",
    "colour_lda": "colours, linear discriminants",
    "small_cnn": "small convolutional network",
    "diffusion": "**diffusion classifier**",
}


KINDS = {
    "out_of_focus": "the same windows, out of focus",
    "half_magnification": "at half the magnification",
    "double_magnification": "at twice the magnification",
    "swapped_colours": "red and blue exchanged",
    "fluorescent_nuclei": "fluorescent nuclei, as grey",
}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The choice of the weighting, and the table of val."""
    entry = result.get("scores", {}).get("classification", {}).get("val")
    choice = result.get("choices", {}).get("classification", {}).get("weighting")
    if entry is None or choice is None:
        return ["Not measured yet."]
    rows = [
        [
            str(of["labels"]),
            NAMES[name],
            interval(scores["balanced_accuracy"]),
            interval(scores["macro_f1"]),
            "–" if name == "size_rule" else f"{scores['ece']:.3f}",
        ]
        for of in entry["rows"].values()
        for name, scores in of["methods"].items()
    ]
    tried = [
        [name, interval(scores["balanced_accuracy"]), interval(scores["macro_f1"])]
        for name, scores in choice["tried"].items()
    ]
    most = list(entry["rows"].values())[-1]
    return [
        table(["labels a class", "method", "balanced accuracy", "macro-F1", "ECE"], rows),
        f"{entry['windows']} windows of {entry['images']} images of val, as many of each class; 95 % intervals of a "
        f"bootstrap over images. The diffusion classifier makes {entry['settings']['draws']} draws a class; its temperature, "
        f"fitted on the held-out part, takes its calibration error with all labels from "
        f"{most['ece_without_calibration']:.3f} to {most['methods']['diffusion']['ece']:.3f}. {machine(entry)}",
        "Its weighting was chosen on the held-out fifth of the training images:",
        table(["weighting", "balanced accuracy", "macro-F1"], tried),
        *_work(choice),
        *_unusual(result.get("scores", {}).get("classification", {}).get("unusual, val")),
    ]


def _work(choice: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            str(row["draws"]),
            "never" if row["standard_errors"] is None else f"{row['standard_errors']:g} standard errors",
            f"{row['network_calls_an_image']:.1f}",
            interval(row["balanced_accuracy"]),
            f"{row['seconds']:.2g}",
        ]
        for row in choice["work"]
    ]
    head = ["draws a class", "classes dropped beyond", "network calls an image", "balanced accuracy", "s an image"]
    return [f"Work, on the same part, all labels. {machine(choice)}", table(head, rows)]


def _unusual(entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return ["How well the score tells unusual images from usual ones: not measured yet."]
    rows = [
        [KINDS[name], f"{of['median']:+.1f}", interval(of["above"]), interval(of["apart"])]
        for name, of in entry["rows"].items()
    ]
    usual = next(iter(entry["rows"].values()))["usual_median"]
    head = ["images", "median score", "AUROC of the score", "AUROC of its distance from 0"]
    return [
        f"The score of images unlike any class, beside {entry['windows']} usual windows of val (median {usual:+.1f}); "
        f"nothing was chosen or fitted for them. {machine(entry)}",
        table(head, rows),
    ]
