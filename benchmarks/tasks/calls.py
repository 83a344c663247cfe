"""Quality against network calls, on the middles of fields of dev, with one sample and with eight; and how many to take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tasks import exposure, fields, methods, scores, store
from benchmarks.tasks.fields import FEW, Field
from benchmarks.tasks.methods import Task
from benchmarks.tasks.predictions import Method, Pieces, typical_seconds
from jaxdiff.tasks import instances

CALLS = (1, 2, 4, 8, 16, 32)
SAMPLES = (1, 8)
CHOOSE_AT = 8
"""Samples at which the number of calls is chosen."""
PRIMARY = {"segmentation": "ap", "denoising": "psnr", "super-resolution": "psnr", "translation": "psnr"}
"""The score that it is chosen by."""
TOLERANCE = {"segmentation": 0.005, "denoising": 0.05, "super-resolution": 0.05, "translation": 0.05}
"""The fewest calls are taken whose mean score is at most so much below the best: AP, decibels."""


@dataclass(frozen=True)
class Calls:
    """Quality against network calls on dev; stores the number of calls that `evaluate` then takes."""

    task: Task
    """What is measured."""
    data: Path
    """The BBBC039 folder, with {train,dev}/{images,masks}."""
    run: Path
    """Run folder of the diffusion model."""
    regression: Path | None = None
    """Run folder of the regression, for its row."""
    num: int = FEW
    """Fields of dev."""
    size: int = 192
    """Side of their middles in pixels."""
    minutes: float = 9.0
    """No crop is begun later; the same command continues."""
    pieces: Path = Path("runs/tasks")
    """Folder of what is done so far."""


def measure(options: Calls) -> None:
    """Stores the table and the choice. Raises DataError before any long work."""
    dev = [fields.crop(field, options.size) for field in fields.load(options.data, "dev", options.num)]
    model = methods.model_of(options.run, options.task)
    net = None if options.regression is None else methods.model_of(options.regression, options.task)
    pairs, data_range = None, 1.0
    if options.task != "segmentation":
        train = fields.load(options.data, "train", None)
        pairs, data_range = exposure.plate(train, options.task), exposure.intensity_range(train)
    pieces, rows = Pieces(options.pieces, options.minutes), []
    for photons in exposure.PHOTONS[options.task]:
        see = methods.seen(options.task, pairs, photons)
        todo: list[tuple[int, int, Method]] = [
            (
                calls,
                samples,
                methods.diffusion(model, options.task, see=see, photons=photons, samples=samples, calls=calls),
            )
            for samples in SAMPLES
            for calls in CALLS
        ]
        if net is not None:
            todo.append((1, 1, methods.regressed(net, see, photons)))
        for calls, samples, method in todo:
            predictions = pieces.of(method, dev, f"dev, middle {options.size}")
            images = [p.arrays["x0"] for p in predictions]
            offset = 0.0 if pairs is None or pairs.offset is None else pairs.offset
            row: dict[str, Any] = {"method": method.name, "photons": photons, "calls": calls, "samples": samples}
            row |= {"seconds": typical_seconds(predictions)} | _means(options.task, dev, images, offset, data_range)
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    entry = {"settings": methods.identity(model), "size": options.size, "fields": [field.name for field in dev]}
    chosen = choose(rows, options.task)
    store.put(("calls", options.task), {**entry, "rule": rule(options.task), "chosen": chosen, "rows": rows})
    print(f"chosen: {chosen} calls ({rule(options.task)})")


def rule(task: str) -> str:
    """What `choose` does, in words."""
    return f"fewest calls within {TOLERANCE[task]} of the best mean {PRIMARY[task]}, {CHOOSE_AT} samples"


def choose(rows: Sequence[dict[str, Any]], task: str) -> int:
    """The fewest calls whose mean primary score over photons is within the tolerance of the best."""
    of_diffusion = [row for row in rows if row["method"] == "diffusion" and row["samples"] == CHOOSE_AT]
    means = {c: float(np.mean([r[PRIMARY[task]] for r in of_diffusion if r["calls"] == c])) for c in CALLS}
    return min(calls for calls, mean in means.items() if mean >= max(means.values()) - TOLERANCE[task])


def _means(
    task: Task, dev: Sequence[Field], images: Sequence[np.ndarray], offset: float, data_range: float
) -> dict[str, float]:
    if task == "segmentation":
        every = [scores.segmentation(field, instances(distance)) for field, distance in zip(dev, images)]
        names = ("ap50", "ap", "dice")
    else:
        every = [scores.denoising(field, image, offset, data_range) for field, image in zip(dev, images)]
        names = ("psnr", "ssim")
    return {name: float(np.mean([row[name] for row in every])) for name in names}
