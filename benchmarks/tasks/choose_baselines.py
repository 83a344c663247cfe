"""The parameters of the classical methods, chosen on dev: the segmentation on whole fields, denoising on their middles."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from benchmarks.tasks import denoising_baselines, enlarging, exposure, fields, segmentation_baselines, store
from benchmarks.tasks.methods import Task
from jaxdiff.data.pairs import SuperResolution
from jaxdiff.metrics import mean_average_precision, psnr

CANDIDATES = {"denoising": denoising_baselines.CANDIDATES, "super-resolution": {"tv": enlarging.CANDIDATES}}
CROP = 256
"""Pixels along each side of the middles."""
Bar = Callable[[Iterable[Any]], Iterable[Any]]


def choose(data: Path, num: int = fields.FEW, only: tuple[Task, ...] = get_args(Task)) -> None:
    """Choose the parameters of the classical methods on dev.

    Args:
        data: the BBBC039 folder, with {train,dev}/{images,masks}.
        num: fields of dev.
        only: tasks.
    """
    for task in only:
        segmentation(data, num) if task == "segmentation" else images(data, num, task)


def segmentation(data: Path, num: int) -> None:
    """Stores the method of the highest mean AP 0.5 to 0.9 over `num` fields of dev."""
    dev = fields.load(data, "dev", num)
    best, score, tried = segmentation_baselines.choose(dev, mean_average_precision, _bar("Otsu and watershed"))
    entry = {"score": "ap", "dev": score, "tried": len(tried), "fields": [field.name for field in dev]}
    store.put(("choices", "segmentation", "otsu_watershed"), {"parameters": dataclasses.asdict(best), **entry})
    print(f"otsu_watershed: AP {score:.4f} on dev with {best}", flush=True)


def images(data: Path, num: int, task: str) -> None:
    """Of denoising or super-resolution: for each number of photons, stores the parameters of the highest mean PSNR.

    The mean is over the middles of `num` fields of dev.
    """
    train = fields.load(data, "train", None)
    pairs, data_range = exposure.plate(train, task), exposure.intensity_range(train)
    score = functools.partial(psnr, data_range=data_range)
    dev = [fields.crop(field, CROP) for field in fields.load(data, "dev", num)]
    for photons in exposure.PHOTONS[task]:
        pictures = [(field.image, exposure.noisy(pairs, field, photons)) for field in dev]
        for name, candidates in CANDIDATES[task].items():
            bar, restore = _bar(f"{name}, {photons} photons"), _restore(pairs, photons)
            best, top, tried = denoising_baselines.choose(candidates, restore, pictures, score, bar)
            entry = {"score": "psnr", "dev": top, "tried": tried, "fields": [field.name for field in dev], "crop": CROP}
            store.put(("choices", task, str(photons), name), {"parameters": dataclasses.asdict(best), **entry})
            print(f"{photons} photons, {name}: {top:.2f} dB on dev with {best}", flush=True)
    store.put(("exposure",), exposure.to_json(pairs) | {"data_range": data_range})


def _restore(pairs: exposure.Pairs, photons: int) -> Callable[[Any, np.ndarray], np.ndarray]:
    camera = exposure.camera(pairs, photons)
    if isinstance(pairs, SuperResolution):
        return lambda method, coarse: enlarging.restore(method, pairs, photons, coarse)
    return lambda method, noisy: denoising_baselines.denoise(method, camera, noisy)


def _bar(what: str) -> Bar:
    return lambda items: tqdm(items, desc=what, mininterval=1.0, leave=False, disable=None)
