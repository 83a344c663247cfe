"""Does the score of the diffusion classifier tell images unlike any class from usual ones?

The same windows of val, spoilt in the ways that microscopes and hands spoil them: out of focus, at another magnification,
with red and blue exchanged. And whole other specimens: fluorescent nuclei, shown as grey. How well a score tells two
sets apart is the area under its ROC curve: the chance that an unusual image scores above a usual one, 0.5 for guessing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.evidence.distances import bootstrap_weights
from benchmarks.report import interval, machine, table
from benchmarks.tasks import blood, classification, fields, methods, store
from benchmarks.tasks.scores import DRAWS, SEED
from jaxdiff.loading import load
from jaxdiff.physics.binning import area_binning
from jaxdiff.tasks.classify import calibrate, classify

FOCUS = 1.5
"""Standard deviation of the blur in pixels of a window: six of the photograph's."""
SPOILT: dict[str, Callable[[np.ndarray], Any]] = {
    "out_of_focus": lambda image: ndimage.gaussian_filter(image, (FOCUS, FOCUS, 0), mode="reflect"),
    # Four small ones, side by side.
    "half_magnification": lambda image: np.tile(area_binning(image, (2, 2)), (2, 2, 1)),
    "double_magnification": lambda image: ndimage.zoom(
        image[8:24, 8:24], (2, 2, 1), order=1, grid_mode=True, mode="nearest"
    ),
    "swapped_colours": lambda image: image[..., ::-1],
}


@dataclass(frozen=True)
class Unusual:
    """How well the diffusion classifier's score tells spoilt and foreign images from usual ones."""

    data: Path
    """The BCCD folder, with {train,val} and their tables."""
    nuclei: Path
    """The BBBC039 folder, for another specimen."""
    run: Path
    """Run folder of the model, blood_all."""
    draws: int = 64
    """Noise levels for each class."""
    again: bool = False
    """Replace numbers of val that are stored."""


def measure(options: Unusual) -> None:
    """Stores the area under the ROC curve of each kind. Raises DataError before any long work."""
    keys = ("scores", "classification", "unusual, val")
    store.check_new(keys, options.again)
    weighting = store.get(("choices", "classification", "weighting"), "classification --split dev first")
    how = classification.settings_of(weighting["parameters"]["weighting"], options.draws)
    dev_cells = blood.balanced(blood.parts(blood.load(options.data, "train"))[1])
    usual, _, files = classification.arrays(blood.balanced(blood.load(options.data, "val")))
    model = load(options.run)
    held_images, held_labels, _ = classification.arrays(dev_cells)
    calibration = calibrate(classification.key(1), model, held_images, held_labels, **how)

    def score(images: np.ndarray) -> np.ndarray:
        return classify(classification.key(3), model, images, calibration=calibration, **how).score

    normal, rows = score(usual), {}
    for name, spoil in SPOILT.items():
        images = np.stack([np.rint(spoil(image.astype(np.float64))).astype(np.uint8) for image in usual])
        rows[name] = areas(normal, score(images), files, files)
        print(name, rows[name], flush=True)
    some = fields.load(options.nuclei, "val")
    nuclei, wells = _nuclei(some)
    rows["fluorescent_nuclei"] = areas(normal, score(nuclei), files, wells)
    print("fluorescent_nuclei", rows["fluorescent_nuclei"], flush=True)
    settings = {"weighting": weighting["parameters"], "draws": options.draws, "focus": FOCUS}
    store.put(keys, {"settings": settings, "model": methods.identity(model), "windows": len(usual), "rows": rows})


def areas(usual: np.ndarray, unusual: np.ndarray, files: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """Of scores: {"above": of those above, "apart": of those far from 0}, each with a bootstrap over the images' files."""
    result: dict[str, Any] = {"median": float(np.median(unusual)), "usual_median": float(np.median(usual))}
    for name, form in (("above", np.asarray), ("apart", np.abs)):
        a, b = form(usual), form(unusual)
        wins = (b[:, None] > a).astype(np.float64) + 0.5 * (b[:, None] == a)
        first = bootstrap_weights(files, DRAWS, np.random.default_rng(SEED))
        second = first if others is files else bootstrap_weights(others, DRAWS, np.random.default_rng(SEED + 1))
        total = np.einsum("di,ij,dj->d", second, wins, first, optimize=True)
        area = total / (second.sum(axis=1) * first.sum(axis=1))
        result[name] = dict(zip(("mean", "low", "high"), map(float, (area[0], *np.percentile(area[1:], (2.5, 97.5))))))
    return result


def _nuclei(some: list[fields.Field]) -> tuple[np.ndarray, np.ndarray]:
    """Windows of 128 pixels, binned as the blood cells are, from the darkest 0 to the field's 99.8th percentile 255."""
    images, wells = [], []
    for field in some:
        low, high = np.percentile(field.image, (0.2, 99.8))
        grey = np.clip(255 * (field.image - low) / (high - low), 0, 255)
        for y in range(0, grey.shape[0] - blood.WINDOW + 1, blood.WINDOW):
            for x in range(0, grey.shape[1] - blood.WINDOW + 1, blood.WINDOW):
                part = grey[y : y + blood.WINDOW, x : x + blood.WINDOW, None]
                images.append(np.repeat(np.rint(area_binning(part, (blood.BINNING,) * 2)), 3, axis=-1).astype(np.uint8))
                wells.append(field.well)
    return np.stack(images), np.array(wells)


KINDS = {
    "out_of_focus": "the same windows, out of focus",
    "half_magnification": "at half the magnification",
    "double_magnification": "at twice the magnification",
    "swapped_colours": "red and blue exchanged",
    "fluorescent_nuclei": "fluorescent nuclei, as grey",
}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The table of val."""
    entry = result.get("scores", {}).get("classification", {}).get("unusual, val")
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
