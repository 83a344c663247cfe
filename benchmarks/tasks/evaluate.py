"""All methods on the fields of dev, while something is chosen, or of val, once."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.tasks import exposure, fields, methods, scores, store, watershed_choice
from benchmarks.tasks.exposure import Pairs
from benchmarks.tasks.fields import FEW, Field
from benchmarks.tasks.methods import Task
from benchmarks.tasks.predictions import Method, Pieces, Prediction, typical_seconds
from jaxdiff.data.errors import DataError
from jaxdiff.tasks import instances
from jaxdiff.tasks.estimate import mean_bias

CLASSICAL = {"denoising": ("noisy", "nlm", "tv"), "super-resolution": ("spline", "tv")}


@dataclass(frozen=True)
class Evaluate:
    """Score whole fields: the classical methods, and the networks that are given."""

    task: Task
    """What is measured."""
    data: Path
    """The BBBC039 folder, with {train,dev,val}/{images,masks}."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    run: Path | None = None
    """Run folder of the diffusion model."""
    regression: Path | None = None
    """Run folder of the regression."""
    samples: int = 4
    """K: samples that are fused or averaged."""
    calls: int | None = None
    """Network calls of each sample; default the number that `calls` chose on dev."""
    num: int = FEW
    """Fields."""
    full: bool = False
    """All fields of the split."""
    again: bool = False
    """Replace numbers of val that are stored."""
    minutes: float = 9.0
    """No field is begun later; the same command continues."""
    pieces: Path = Path("runs/tasks")
    """Folder of what is done so far."""


def evaluate(options: Evaluate) -> None:
    """Stores the scores of each method as it is finished. Raises DataError before any long work."""
    chosen = fields.load(options.data, options.split, None if options.full else options.num)
    if options.task == "segmentation":
        _segmentation(options, chosen)
    else:
        train = fields.load(options.data, "train", None)
        _images(options, chosen, exposure.plate(train, options.task), exposure.intensity_range(train))


def _segmentation(options: Evaluate, chosen: Sequence[Field]) -> None:
    pieces = Pieces(options.pieces, options.minutes)
    todo = [methods.otsu_watershed(), *_networks(options, None, None)]
    for where, method in pending(options, chosen, todo):
        predictions = pieces.of(method, chosen, options.split)
        if method.name == "otsu_watershed":
            how, labels = {}, [p.arrays["labels"] for p in predictions]
        else:
            distances = [p.arrays["x0"] for p in predictions]
            how = _watershed(options, chosen, method, distances)
            labels = [instances(distance, **how) for distance in distances]
        rows = [scores.segmentation(field, predicted) for field, predicted in zip(chosen, labels)]
        _store(where, method, more={"watershed": how} if how else {}, chosen=chosen, rows=rows, predictions=predictions)


def _watershed(
    options: Evaluate, chosen: Sequence[Field], method: Method, distances: Sequence[np.ndarray]
) -> dict[str, Any]:
    """On dev chosen and stored; on val what was chosen for the same network, samples and calls."""
    keys = ("choices", "segmentation", method.name)
    if options.split == "dev":
        how, ap = watershed_choice.choose(chosen, distances)
        names = [field.name for field in chosen]
        store.put(keys, {"parameters": how, "settings": method.settings, "score": "ap", "dev": ap, "fields": names})
        return how
    fix = "evaluate --split dev with the same networks first"
    entry = store.get(keys, fix)
    if entry["settings"] != method.settings:
        raise DataError(f"{method.settings}, and a watershed for {entry['settings']}", "the same", fix)
    return entry["parameters"]


def _images(options: Evaluate, chosen: Sequence[Field], pairs: Pairs, data_range: float) -> None:
    pieces = Pieces(options.pieces, options.minutes)
    assert pairs.offset is not None
    todo = []
    for photons in exposure.PHOTONS[options.task]:
        see = methods.seen(options.task, pairs, photons)
        todo += [methods.classical(name, see, pairs, photons) for name in CLASSICAL[options.task]]
        todo += _networks(options, pairs, photons)
    for where, method in pending(options, chosen, todo):
        see = methods.seen(options.task, pairs, method.settings["photons"])
        predictions = pieces.of(method, chosen, options.split)
        for name, images in _versions(
            options.task, method, chosen=chosen, see=see, predictions=predictions, offset=pairs.offset
        ).items():
            rows = [scores.denoising(f, image, pairs.offset, data_range) for f, image in zip(chosen, images)]
            _store((*where[:-1], name), method, more={}, chosen=chosen, rows=rows, predictions=predictions)


def _versions(
    task: Task,
    method: Method,
    chosen: Sequence[Field],
    see: methods.See,
    predictions: Sequence[Prediction],
    offset: float,
) -> dict[str, list[np.ndarray]]:
    """What is scored of a method: of the networks also without (diffusion) or with (regression) corrected mean light."""
    images = [p.arrays["x0"] for p in predictions]
    if task == "super-resolution":
        firsts = (
            {"diffusion_one_sample": [p.arrays["first"] for p in predictions]} if method.name == "diffusion" else {}
        )
        return {method.name: images, **firsts}
    if method.name == "regression":
        biases = [
            np.nan_to_num(
                mean_bias((see(field) - offset)[..., None].astype(np.float64), (image - offset)[None, ..., None])[0]
            )
            for field, image in zip(chosen, images)
        ]
        return {
            "regression": images,
            "regression_corrected": [offset + (image - offset) / (1 + b) for image, b in zip(images, biases)],
        }
    if method.name == "diffusion":
        return {
            "diffusion": images,
            "diffusion_uncorrected": [p.arrays["uncorrected"] for p in predictions],
            "diffusion_one_sample": [p.arrays["first"] for p in predictions],
        }
    return {method.name: images}


def _networks(options: Evaluate, pairs: Pairs | None, photons: int | None) -> list[Method]:
    see, result = methods.seen(options.task, pairs, photons), []
    if options.regression is not None:
        result.append(methods.regressed(methods.model_of(options.regression, options.task), see, photons))
    if options.run is not None:
        calls = options.calls
        if calls is None:
            calls = store.get(("calls", options.task), f"python -m benchmarks.tasks calls --task {options.task}")[
                "chosen"
            ]
        model = methods.model_of(options.run, options.task)
        result.append(
            methods.diffusion(model, options.task, see=see, photons=photons, samples=options.samples, calls=calls)
        )
    return result


def pending(options: Evaluate, chosen: Sequence[Field], todo: Sequence[Method]) -> list[tuple[tuple[str, ...], Method]]:
    """(where it is stored, method); what is stored of val stays. Raises DataError where nothing of val is left to do."""
    base = "scores", options.task, f"{options.split}, {len(chosen)} fields"
    places = [(*base, *_of(method), method.name) for method in todo]
    if options.split == "dev" or options.again:
        return list(zip(places, todo))
    left = [(where, method) for where, method in zip(places, todo) if not store.has(where)]
    for where in places:
        if store.has(where):
            print(f"{' / '.join(where)}: measured before, kept", file=sys.stderr)
    if not left:
        store.check_new(places[0], again=False)
    return left


def _of(method: Method) -> tuple[str, ...]:
    photons = method.settings.get("photons")
    return () if photons is None else (str(photons),)


def _store(
    where: tuple[str, ...],
    method: Method,
    more: dict[str, Any],
    chosen: Sequence[Field],
    rows: Sequence[scores.Row],
    predictions: Sequence[Prediction],
) -> None:
    entry = {
        "settings": method.settings | more,
        "seconds": typical_seconds(predictions),
        "scores": scores.summary(rows, [field.well for field in chosen]),
        "fields": {field.name: {"well": field.well, **row} for field, row in zip(chosen, rows)},
    }
    store.put(where, entry)
    shown = ", ".join(f"{name} {value['mean']:.4g}" for name, value in entry["scores"].items())
    print(f"{' / '.join(where[1:])}: {shown}", flush=True)
