"""Do denoised images show nuclei that are not there, or lose some that are? Against the number of photons.

One segmentation, Otsu and watershed with the parameters that `baselines` chose on clean fields of dev, is run over the clean
field and over each restored one. The first truth is what it finds in the clean field: what differs then comes from noise and
denoiser alone. The second are the masks that people drew; there the segmentation's own mistakes count, too, and the row of
the clean field says how many these are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from benchmarks.report import machine, table
from benchmarks.tasks import exposure, fields, methods, store
from benchmarks.tasks.exposure import Pairs
from benchmarks.tasks.fields import FEW, Field
from benchmarks.tasks.methods import See
from benchmarks.tasks.predictions import Method, Pieces
from jaxdiff.metrics import (
    HallucinationRates,
    Hallucinations,
    hallucination_rates,
    hallucinations,
    pool_hallucinations,
)

SMOOTH = 2.0
"""Pixels, standard deviation of the Gaussian of the simplest denoiser."""
TITLES = {
    "clean": "the clean field",
    "noisy": "the recording itself",
    "smoothed": f"the recording, smoothed (Gaussian, {SMOOTH:g} pixels)",
    "nlm": "Anscombe and non-local means",
    "samples": "**diffusion**, each of {samples} samples",
    "mean": "**diffusion**, mean of {samples}",
}
RATES = {
    "invented": "invented",
    "missed": "missed",
    "invented_apart": "of these, where there is none",
    "missed_apart": "of these, with nothing there",
}
COLUMNS = ("invented", "invented_apart", "missed", "missed_apart")


@dataclass(frozen=True)
class HallucinationReport:
    """Count invented and missed nuclei of denoised fields."""

    data: Path
    """The BBBC039 folder, with {train,dev,val}/{images,masks}."""
    run: Path
    """Run folder of the denoiser."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    samples: int = 4
    """K: samples of each field."""
    calls: int = 4
    """Network calls of each."""
    num: int = FEW
    """Fields."""
    size: int = 256
    """Side of their middles in pixels."""
    again: bool = False
    """Replace numbers of val that are stored."""
    minutes: float = 9.0
    """No field is begun later; the same command continues."""
    pieces: Path = Path("runs/tasks")
    """Folder of what is done so far."""


def measure(options: HallucinationReport) -> None:
    """Stores the rates of each method at each number of photons. Raises DataError before any long work."""
    where = "hallucinations", f"{options.split}, middles of {options.size} pixels of {options.num} fields"
    if options.split == "val":
        store.check_new(where, options.again)
    find = methods.otsu_watershed()
    chosen = [fields.crop(field, options.size) for field in fields.load(options.data, options.split, options.num)]
    model = methods.model_of(options.run, "denoising")
    pairs = exposure.plate(fields.load(options.data, "train", None))
    pieces = Pieces(options.pieces, options.minutes)
    clean = [_objects(find, field, field.image) for field in chosen]
    truths = {"segmented": clean, "drawn": [field.mask for field in chosen]}
    rows = [{"photons": None, "method": "clean"} | compared(truths, [[labels] for labels in clean], chosen)]
    for photons in exposure.PHOTONS["denoising"]:
        see = methods.seen("denoising", pairs, photons)
        for name, images in _images(options, model, pairs, see, photons, chosen, pieces).items():
            labels = [[_objects(find, field, image) for image in some] for field, some in zip(chosen, images)]
            rows.append({"photons": photons, "method": name} | compared(truths, labels, chosen))
            shown = {rate: round(rows[-1]["segmented"][rate]["value"], 3) for rate in COLUMNS}
            print(f"{photons} photons, {name}: {shown}", flush=True)
    entry = {
        "settings": methods.identity(model) | {"samples": options.samples, "calls": options.calls},
        "finder": find.settings,
        "true": {name: sum(int(np.count_nonzero(np.unique(t))) for t in some) for name, some in truths.items()},
        "fields": [field.name for field in chosen],
    }
    store.put(where, {**entry, "rows": rows})


def compared(
    truths: Mapping[str, Sequence[np.ndarray]], labels: Sequence[Sequence[np.ndarray]], chosen: Sequence[Field]
) -> dict[str, Any]:
    """{truth: {rate: {"value", "low", "high"}}} over fields with true objects, and "in_blank", objects of an image without.

    truths: (Y, X) of each field; labels: (Y, X) of each image of each field.
    """
    result = {}
    for name, some in truths.items():
        counts: list[Hallucinations] = [
            pool_hallucinations(hallucinations(truth, one) for one in of_field) for truth, of_field in zip(some, labels)
        ]
        full = [(one, field.well) for one, field in zip(counts, chosen) if one.true]
        blank = [one.invented / len(of_field) for one, of_field in zip(counts, labels) if not one.true]
        result[name] = _plain(hallucination_rates([one for one, _ in full], [well for _, well in full]))
        result[name]["in_blank"] = float(np.mean(blank)) if blank else None
    return result


def _images(
    options: HallucinationReport,
    model: Any,
    pairs: Pairs,
    see: See,
    photons: int,
    chosen: Sequence[Field],
    pieces: Pieces,
) -> dict[str, list[list[np.ndarray]]]:
    """Method → the images of each field: one, or every sample."""
    part = f"{options.split}, middle {options.size}"
    draws = methods.draws(model, "denoising", see=see, photons=photons, samples=options.samples, calls=options.calls)
    drawn = [p.arrays["draws"] for p in pieces.of(draws, chosen, part)]
    nlm = pieces.of(methods.classical("nlm", see, pairs, photons), chosen, part)
    return {
        "noisy": [[see(field)] for field in chosen],
        "smoothed": [[ndimage.gaussian_filter(see(field), SMOOTH)] for field in chosen],
        "nlm": [[p.arrays["x0"]] for p in nlm],
        "samples": [list(some) for some in drawn],
        "mean": [[some.mean(axis=0)] for some in drawn],
    }


def _objects(find: Method, field: Field, image: np.ndarray) -> np.ndarray:
    return find.predict(Field(field.name, field.well, image, field.mask))["labels"]


def _plain(rates: HallucinationRates) -> dict[str, Any]:
    return {name: dict(zip(rate._fields, rate)) for name, rate in zip(rates._fields, rates)}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The section, from what is stored."""
    measured = result.get("hallucinations", {})
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where, entry in measured.items():
        parts.append(f"#### {where}")
        for truth, what in (
            ("segmented", "Truth: what the same segmentation finds in the clean field"),
            ("drawn", "Truth: the masks that people drew"),
        ):
            rows = [
                [
                    "" if row["photons"] is None else str(row["photons"]),
                    TITLES[row["method"]].format(samples=entry["settings"]["samples"]),
                    *(_cell(row[truth][rate]) for rate in COLUMNS),
                    "none" if row[truth]["in_blank"] is None else f"{row[truth]['in_blank']:.3g}",
                ]
                for row in entry["rows"]
                if truth == "drawn" or row["method"] != "clean"
            ]
            titles = (RATES[rate] for rate in COLUMNS)
            parts.append(f"{what} ({entry['true'][truth]} nuclei). Per true nucleus, %; of fields without, the number:")
            parts.append(table(["photons", "image", *titles, "in a field without nuclei"], rows))
        parts.append(
            f"Objects are one at IoU ≥ 0.5. {len(entry['fields'])} fields; brackets: 95 % of a bootstrap over wells. "
            f"{machine(entry)}"
        )
    return parts


def _cell(rate: Mapping[str, float]) -> str:
    value, low, high = (f"{100 * rate[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
