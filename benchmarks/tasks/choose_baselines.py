"""The parameters of the classical methods, chosen on dev: the segmentation on whole fields, denoising on their middles."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.tasks import denoising_baselines, exposure, fields, segmentation_baselines, store
from jaxdiff.metrics import mean_average_precision, psnr

CROP = 256
"""Pixels along each side of the middles."""
Bar = Callable[[Iterable[Any]], Iterable[Any]]


def segmentation(data: Path, num: int) -> None:
    """Stores the method of the highest mean AP 0.5 to 0.9 over `num` fields of dev."""
    dev = fields.load(data, "dev", num)
    best, score, tried = segmentation_baselines.choose(dev, mean_average_precision, _bar("Otsu and watershed"))
    entry = {"score": "ap", "dev": score, "tried": len(tried), "fields": [field.name for field in dev]}
    store.put(("choices", "segmentation", "otsu_watershed"), {"parameters": dataclasses.asdict(best), **entry})
    print(f"otsu_watershed: AP {score:.4f} on dev with {best}", flush=True)


def denoising(data: Path, num: int) -> None:
    """Stores, for each number of photons, the parameters of the highest mean PSNR over the middles of `num` fields."""
    train = fields.load(data, "train", None)
    pairs, data_range = exposure.plate(train), exposure.intensity_range(train)
    score = functools.partial(psnr, data_range=data_range)
    dev = [fields.crop(field, CROP) for field in fields.load(data, "dev", num)]
    for photons in exposure.PHOTONS:
        images = [(field.image, exposure.noisy(pairs, field, photons)) for field in dev]
        camera = exposure.camera(pairs, photons)
        for name, candidates in denoising_baselines.CANDIDATES.items():
            bar = _bar(f"{name}, {photons} photons")
            best, top, tried = denoising_baselines.choose(candidates, camera, images, score, bar)
            entry = {"score": "psnr", "dev": top, "tried": tried, "fields": [field.name for field in dev], "crop": CROP}
            store.put(("choices", "denoising", str(photons), name), {"parameters": dataclasses.asdict(best), **entry})
            print(f"{photons} photons, {name}: {top:.2f} dB on dev with {best}", flush=True)
    store.put(("exposure",), exposure.to_json(pairs) | {"data_range": data_range})


def _bar(what: str) -> Bar:
    return lambda items: tqdm(items, desc=what, mininterval=1.0, leave=False, disable=None)
