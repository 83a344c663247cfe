"""Blood cells classified by a diffusion model and by other means, with 5, 20 and all labels of each class.

Choices are made on a fifth of the training images: the weighting of the diffusion classifier (with all labels), its
temperature, and the steps of the small network. It holds more labels than the smallest sets have, for all methods alike.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from benchmarks.evidence.distances import bootstrap_weights
from benchmarks.report import interval, machine, table
from benchmarks.tasks import blood, cell_classifiers, methods, store
from benchmarks.tasks.blood import CLASSES
from benchmarks.tasks.scores import DRAWS, SEED
from jaxdiff.loading import load
from jaxdiff.metrics import expected_calibration_error
from jaxdiff.process.schedules import VarianceExploding
from jaxdiff.tasks.classify import calibrate, classify
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.weighting import Likelihood, Sigmoid, SNRPlusOne

BUDGETS = {"5": 5, "20": 20, "all": None}
"""Labels of each class."""
CLEAN = VarianceExploding(sigma_min=float(np.exp(-4.0)), sigma_max=float(np.exp(6.0)))
"""λ uniform from −6 to 4, for the weighting that has its weight at the clean end."""
WEIGHTINGS: dict[str, dict[str, Any]] = {
    "sigmoid": {"weighting": Sigmoid()},
    "likelihood": {"weighting": Likelihood(), "lam_sampler": Stratified(CLEAN)},
    "velocity": {"weighting": SNRPlusOne()},
}


SMALL = 24
"""Images in a network call where classes may be dropped: eight draws of three classes."""
WORK: tuple[dict[str, Any], ...] = (
    *({"draws": draws, "standard_errors": None} for draws in (2, 4, 8, 16, 32, 64)),
    *({"draws": 64, "standard_errors": limit} for limit in (4.0, 3.0, 2.0)),
)


@dataclass(frozen=True)
class Classification:
    """Balanced accuracy and macro-F1 of blood cells, by method and number of labels."""

    data: Path
    """The BCCD folder, with {train,val} and their tables."""
    runs: Path
    """Folder of the runs blood_5, blood_20 and blood_all."""
    split: Literal["dev", "val"] = "dev"
    """dev, the held-out fifth of train, chooses; val once, for the numbers that are reported."""
    draws: int = 64
    """Noise levels for each class."""
    again: bool = False
    """Replace numbers of val that are stored."""


@dataclass(frozen=True)
class Blood:
    """Write the windows of the training images as folders by class, for configs/blood_cells.py."""

    data: Path
    """The BCCD folder."""
    out: Path
    """Gets 5, 20 and all."""


def write(options: Blood) -> None:
    """Folders of the windows that a model of each number of labels is trained on."""
    fit, _ = blood.parts(blood.load(options.data, "train"))
    for name, most in BUDGETS.items():
        print(blood.write(blood.balanced(fit, most), options.out / name))


def measure(options: Classification) -> None:
    """Stores the choice of the weighting (dev) or all scores (val). Raises DataError before any long work."""
    fit, dev = blood.parts(blood.load(options.data, "train"))
    dev_cells = blood.balanced(dev)
    if options.split == "dev":
        return _choose(options, dev_cells)
    store.check_new(("scores", "classification", "val"), options.again)
    chosen = store.get(("choices", "classification", "weighting"), "classification --split dev first")
    val = blood.balanced(blood.load(options.data, "val"))
    images, truth, files = arrays(val)
    rows: dict[str, Any] = {}
    for budget, most in BUDGETS.items():
        fitted_on = arrays(blood.balanced(fit, most))[:2]
        cnn, steps = cell_classifiers.chosen_cnn(fitted_on, arrays(dev_cells)[:2])
        probabilities = {
            "size_rule": cell_classifiers.size_rule(*fitted_on)(images),
            "colour_lda": cell_classifiers.colour_lda(*fitted_on)(images),
            "small_cnn": cnn(images),
        }
        more: dict[str, Any] = {"labels": len(fitted_on[1]) // len(CLASSES), "cnn_steps": steps}
        model, how = (
            load(options.runs / f"blood_{budget}"),
            settings_of(chosen["parameters"]["weighting"], options.draws),
        )
        held_images, held_labels, _ = arrays(dev_cells)
        calibration = calibrate(key(1), model, held_images, held_labels, **how)
        result = classify(key(2), model, images, calibration=calibration, **how)
        plain = classify(key(2), model, images, **how)
        probabilities["diffusion"] = result.probability
        more["model"] = methods.identity(model)
        more["temperature"], more["held_out_accuracy"] = calibration.temperature, calibration.accuracy
        more["ece_without_calibration"] = expected_calibration_error(plain.probability, truth)
        more["network_calls_an_image"] = float(result.draws.sum(axis=1).mean())
        rows[budget] = {**more, "methods": {name: scored(p, truth, files) for name, p in probabilities.items()}}
        for name, row in rows[budget]["methods"].items():
            print(budget, name, row, flush=True)
    entry = {"settings": {"weighting": chosen["parameters"], "draws": options.draws}, "windows": len(val)}
    store.put(("scores", "classification", "val"), {**entry, "images": len(set(files)), "rows": rows})


def _choose(options: Classification, cells: list[blood.Cell]) -> None:
    model = load(options.runs / "blood_all")
    images, truth, files = arrays(cells)
    tried = {}
    for name in WEIGHTINGS:
        probability = classify(key(0), model, images, **settings_of(name, options.draws)).probability
        tried[name] = scored(probability, truth, files)
        print(name, tried[name], flush=True)
    best = max(tried, key=lambda name: tried[name]["balanced_accuracy"]["mean"])
    work = [_work(model, images, truth, files, settings_of(best, options.draws), **more) for more in WORK]
    about = {"parameters": {"weighting": best}, "score": "balanced_accuracy", "tried": tried, "windows": len(cells)}
    entry = {**about, "work": work}
    dev = tried[best]["balanced_accuracy"]["mean"]
    store.put(("choices", "classification", "weighting"), {**entry, "dev": dev, "model": methods.identity(model)})


def _work(model: Any, images: Any, truth: Any, files: Any, how: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Scores with other draws or limits, in small network calls, after each of which classes may be dropped."""
    settings: dict[str, Any] = how | {"batch": SMALL} | more
    began = time.perf_counter()
    result = classify(key(0), model, images, **settings)
    seconds = (time.perf_counter() - began) / len(images)
    row = more | {"network_calls_an_image": float(result.draws.sum(axis=1).mean()), "seconds": seconds}
    row["balanced_accuracy"] = scored(result.probability, truth, files)["balanced_accuracy"]
    print(row, flush=True)
    return row


def scored(probability: np.ndarray, truth: np.ndarray, files: np.ndarray) -> dict[str, Any]:
    """Of probabilities (N, classes): scores with 95 % intervals of a bootstrap over images; "ece" without one."""
    weights = bootstrap_weights(files, DRAWS, np.random.default_rng(SEED))
    predicted = probability.argmax(axis=1)
    recalls, f1s = [], []
    for label in range(len(CLASSES)):
        right = weights @ ((predicted == label) & (truth == label))
        of, claimed = weights @ (truth == label), weights @ (predicted == label)
        recalls.append(right / np.maximum(of, 1))
        f1s.append(2 * right / np.maximum(of + claimed, 1))
    result = {"balanced_accuracy": np.mean(recalls, axis=0), "macro_f1": np.mean(f1s, axis=0)}
    intervals: dict[str, Any] = {
        name: dict(zip(("mean", "low", "high"), map(float, (v[0], *np.percentile(v[1:], (2.5, 97.5))))))
        for name, v in result.items()
    }
    return intervals | {"ece": expected_calibration_error(probability, truth)}


def settings_of(weighting: str, draws: int) -> dict[str, Any]:
    """For `jaxdiff.tasks.classify`."""
    return {"draws": draws, "batch": 96, **WEIGHTINGS[weighting]}


def arrays(cells: list[blood.Cell]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3), labels (N,), and the names of their files (N,)."""
    return np.stack([c.image for c in cells]), np.array([c.label for c in cells]), np.array([c.file for c in cells])


def key(number: int) -> Any:
    return jax.random.fold_in(jax.random.key(SEED), number)


NAMES = {
    "size_rule": "stained area, two limits",
    "colour_lda": "colours, linear discriminants",
    "small_cnn": "small convolutional network",
    "diffusion": "**diffusion classifier**",
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
        *_work_table(choice),
    ]


def _work_table(choice: Mapping[str, Any]) -> list[str]:
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
