"""Nuclei of many microscopes: AP of a general segmentation model, a regression of its size, and Otsu with watershed.

The network finds the diameter of each image's nuclei itself; the regression is given what it found, so that the two differ in
their answer alone. Everything is chosen on dev; val is measured once.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from tqdm import tqdm

from benchmarks.tasks import methods, regression, scores, segmentation_baselines, store
from benchmarks.tasks.fields import Field
from benchmarks.tasks.predictions import Arrays, Method, Pieces, typical_seconds
from jaxdiff.data.errors import DataError
from jaxdiff.data.resample import resampled
from jaxdiff.metrics import mean_average_precision
from jaxdiff.model import Model
from jaxdiff.tasks import instances, segment
from jaxdiff.tasks.seen import object_size_of

DYNAMIC, LEAST = 2.5, 20
"""Of the watershed, in the model's pixels: the defaults of `sample.py segment`."""


@dataclasses.dataclass(frozen=True)
class Microscopes:
    """Score the images of a folder that many microscopes made."""

    data: Path
    """Folder with {train,dev,val}/{images,masks}."""
    run: Path
    """Run folder of the diffusion model, trained with ObjectSize(diameter=...)."""
    regression: Path | None = None
    """Run folder of the regression (`python -m benchmarks.tasks regression --config RUN`)."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    samples: int = 8
    """K: samples that are fused."""
    calls: int = 4
    """Network calls of each sample."""
    num: int | None = None
    """Images, spread over the folder; none: all."""
    again: bool = False
    """Replace numbers of val that are stored."""
    minutes: float = 9.0
    """No image is begun later; the same command continues."""
    pieces: Path = Path("runs/tasks")
    """Folder of what is done so far."""


def measure(options: Microscopes) -> None:
    """Stores the scores of each method as it is finished. Raises DataError before any long work."""
    images = load(options.data, options.split, options.num)
    model = methods.model_of(options.run, "segmentation")
    if object_size_of(model) is None:
        raise DataError(f"{options.run.name}, of no one size", "a model of ObjectSize(diameter=...)", "another --run")
    where = ("scores", "microscopes", f"{options.data.name}, {options.split}, {len(images)} images")
    if options.split == "val" and not options.again:
        store.check_new((*where, "diffusion"), again=False)
    pieces = Pieces(options.pieces, options.minutes)
    part = f"{options.data.name}, {options.split}"
    diffusion = _diffusion(model, options.samples, options.calls)
    results = {diffusion.name: (diffusion, pieces.of(diffusion, images, part))}
    if options.regression is not None:
        diameters = {f.name: float(p.arrays["diameter"]) for f, p in zip(images, results["diffusion"][1])}
        mean = _regression(methods.model_of(options.regression, "segmentation"), diameters)
        results[mean.name] = mean, pieces.of(mean, images, part)
    otsu = _otsu(options, images)
    results[otsu.name] = otsu, pieces.of(otsu, images, part)
    for name, (method, predictions) in results.items():
        rows = [scores.segmentation(field, p.arrays["labels"]) for field, p in zip(images, predictions)]
        summary = scores.summary(rows, [field.well for field in images])
        entry = {"settings": method.settings, "seconds": typical_seconds(predictions), "scores": summary}
        store.put((*where, name), entry | {"fields": {field.name: row for field, row in zip(images, rows)}})
        print(f"{name}: " + ", ".join(f"{score} {value['mean']:.4g}" for score, value in summary.items()), flush=True)


def load(data: Path, split: str, num: int | None = None) -> list[Field]:
    """`num` images of data/SPLIT/{images,masks} in the order of their names, each its own group; None for all."""
    files = sorted((data / split / "images").glob("*.tif"))
    if not files or (num is not None and not 1 <= num <= len(files)):
        raise DataError(f"{len(files)} images in {data / split}", f"{num or 1} or more", "correct --data or --num")
    chosen = files if num is None else [files[i * len(files) // num] for i in range(num)]
    masks = [tifffile.imread(data / split / "masks" / file.name).astype(np.int32) for file in chosen]
    return [Field(file.stem, file.stem, tifffile.imread(file), mask) for file, mask in zip(chosen, masks)]


def _diffusion(model: Model, samples: int, calls: int) -> Method:
    def predict(field: Field) -> Arrays:
        result = segment(methods.key_of_field(field), model, field.image, samples, calls=calls)
        return {"labels": result.labels, "diameter": np.array(result.diameter)}

    return Method("diffusion", methods.identity(model) | {"samples": samples, "calls": calls}, predict)


def _regression(model: Model, diameters: dict[str, float]) -> Method:
    size = object_size_of(model)
    if size is None or size.diameter is None:
        raise DataError(
            "a regression of no one size", "one of the run's config", "benchmarks.tasks regression --config RUN"
        )
    diameter = size.diameter

    def predict(field: Field) -> Arrays:
        factor = diameter / diameters[field.name]
        distance = resampled(regression.predict(model, field.image, factor), field.image.shape)[..., 0] / factor
        return {"labels": instances(distance, dynamic=DYNAMIC / factor, least=LEAST / factor**2)}

    return Method("regression", methods.identity(model) | {"diameters": diameters}, predict)


def _otsu(options: Microscopes, images: Sequence[Field]) -> Method:
    """With the parameters of the highest mean AP 0.5 to 0.9 on dev, chosen anew on dev and stored for val."""
    keys = ("choices", "microscopes", f"otsu_watershed, {options.data.name}")
    if options.split == "dev":
        bar: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: tqdm(items, leave=False, disable=None)  # noqa: E731
        best, score, tried = segmentation_baselines.choose(
            [_above_0(field) for field in images], mean_average_precision, bar
        )
        parameters = dataclasses.asdict(best)
        store.put(keys, {"parameters": parameters, "score": "ap", "dev": score, "tried": len(tried)})
        print(f"otsu_watershed: AP {score:.4f} on dev with {best}", file=sys.stderr)
    parameters = store.get(keys, "python -m benchmarks.tasks microscopes --split dev first")["parameters"]
    how = segmentation_baselines.OtsuWatershed(**parameters)
    return Method("otsu_watershed", parameters, lambda field: {"labels": how(_above_0(field).image)})


def _above_0(field: Field) -> Field:
    """One grey level brighter: the method may take logarithms."""
    return dataclasses.replace(field, image=field.image + 1.0)
