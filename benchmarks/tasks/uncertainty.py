"""Does the spread of the samples say how wrong they are? On the middles of fields, with K = 19 samples.

The truth lies between the least and the greatest of 19 samples 90 times in 100 if it is one more of them. Of a
segmentation only pixels near an outline count: beyond the truncation the distance is a constant, for truth and samples
alike. Of an image all pixels count; the truth's own camera noise is part of what the samples imitate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.tasks import exposure, fields, methods, store
from benchmarks.tasks.fields import FEW, Field
from benchmarks.tasks.methods import Task
from benchmarks.tasks.predictions import Pieces
from jaxdiff.data.pairs import Segmentation, signed_distance
from jaxdiff.metrics import error_by_std, expected_calibration_error, interval_coverage

SAMPLES = 19
BINS = 10


@dataclass(frozen=True)
class Uncertainty:
    """Coverage of 19 samples, and error against predicted standard deviation."""

    task: Task
    """What is measured."""
    data: Path
    """The BBBC039 folder, with {train,dev,val}/{images,masks}."""
    run: Path
    """Run folder of the diffusion model."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    calls: int | None = None
    """Network calls of each sample; default the number that `calls` chose on dev."""
    num: int = FEW
    """Fields."""
    size: int = 192
    """Side of their middles in pixels."""
    again: bool = False
    """Replace numbers of val that are stored."""
    minutes: float = 9.0
    """No crop is begun later; the same command continues."""
    pieces: Path = Path("runs/tasks")
    """Folder of what is done so far."""


def measure(options: Uncertainty) -> None:
    """Stores the table of each number of photons. Raises DataError before any long work."""
    where = "uncertainty", options.task, options.split
    if options.split == "val":
        store.check_new(where, options.again)
    calls = options.calls
    if calls is None:
        calls = store.get(("calls", options.task), f"python -m benchmarks.tasks calls --task {options.task}")["chosen"]
    chosen = fields.load(options.data, options.split, options.num)
    model = methods.model_of(options.run, options.task)
    truncation = None
    if model.pairing is not None and isinstance(model.pairing.pairs, Segmentation):
        truncation = model.pairing.pairs.truncation
    truths = [_truth(field, truncation, options.size) for field in chosen]
    crops = [fields.crop(field, options.size) for field in chosen]
    pairs = None
    if options.task != "segmentation":
        pairs = exposure.plate(fields.load(options.data, "train", None), options.task)
    pieces, rows = Pieces(options.pieces, options.minutes), []
    for photons in exposure.PHOTONS[options.task]:
        see = methods.seen(options.task, pairs, photons)
        method = methods.draws(model, options.task, see=see, photons=photons, samples=SAMPLES, calls=calls)
        predictions = pieces.of(method, crops, f"{options.split}, middle {options.size}")
        rows.append({"photons": photons} | table(truths, [p.arrays["draws"] for p in predictions], truncation))
        print({name: value for name, value in rows[-1].items() if np.ndim(value) == 0}, flush=True)
    entry = {"settings": methods.identity(model), "samples": SAMPLES, "calls": calls, "size": options.size}
    store.put(where, {**entry, "fields": [field.name for field in crops], "rows": rows})


def table(truths: Sequence[np.ndarray], draws: Sequence[np.ndarray], truncation: float | None) -> dict[str, Any]:
    """Of truths (Y, X) and samples (K, Y, X): coverage, and root mean squares of std and error in bins of rising std.

    With a truncation, truths are distances: only pixels that are nearer to an outline count, and "ece" is the expected
    calibration error of the share of samples in which a pixel, anywhere, is inside.
    """
    truth = np.concatenate([t.ravel() for t in truths])
    samples = np.concatenate([d.reshape(len(d), -1) for d in draws], axis=1)
    result: dict[str, Any] = {}
    if truncation is not None:
        result["ece"] = expected_calibration_error((samples > 0).mean(axis=0), truth > 0)
        near = np.abs(truth) < truncation
        truth, samples = truth[near], samples[:, near]
    coverage = interval_coverage(truth, samples)
    bins = error_by_std(truth, mean=samples.mean(axis=0), std=samples.std(axis=0, ddof=1), bins=BINS)
    return result | {
        "coverage": coverage.share,
        "nominal": coverage.nominal,
        "pixels": coverage.count,
        "std": [float(v) for v in bins.std],
        "error": [float(v) for v in bins.error],
    }


def _truth(field: Field, truncation: float | None, size: int) -> np.ndarray:
    """What the samples are of, in the middle of a field: distances know of outlines beyond the middle."""
    field_truth = field.image.astype(np.float32) if truncation is None else signed_distance(field.mask, truncation)
    return fields.middle(field_truth, size)
