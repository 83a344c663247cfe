"""All methods in one form: what each makes of a field, and everything that this depends on."""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from benchmarks.tasks import denoising_baselines, enlarging, exposure, regression, store
from benchmarks.tasks.exposure import Pairs
from benchmarks.tasks.fields import Field
from benchmarks.tasks.predictions import Arrays, Method
from benchmarks.tasks.segmentation_baselines import OtsuWatershed
from jaxdiff.data.errors import DataError
from jaxdiff.data.pairs import Denoising, SuperResolution
from jaxdiff.loading import load
from jaxdiff.model import Model
from jaxdiff.tasks import denoise, segment, super_resolve
from jaxdiff.tasks.sampled import conditional_samples

Task = Literal["segmentation", "denoising", "super-resolution"]
See = Callable[[Field], np.ndarray]
TASKS = {"segmentation": "segment", "denoising": "denoise", "super-resolution": "super-resolve"}
"""What a model calls itself that was trained for it."""
SEED = 0
"""Of all samples."""
CHOOSE = "python -m benchmarks.tasks baselines"


def seen(task: Task, pairs: Pairs | None, photons: int | None) -> See:
    """What a method is given of a field, (Y, X) in grey levels: the image, or a recording of it."""
    if task == "segmentation" or pairs is None or photons is None:
        return lambda field: field.image
    return lambda field: exposure.noisy(pairs, field, photons)


def model_of(run: Path, task: Task) -> Model:
    """The model of a run folder. Raises DataError where it was trained for something else."""
    model = load(run)
    trained = None if model.pairing is None else model.pairing.pairs.task
    if trained != TASKS[task]:
        raise DataError(f"{run.name}, trained to {trained}", f"one to {TASKS[task]}", "give the run of this task")
    return model


def identity(model: Model) -> dict[str, Any]:
    """Which parameters these are: the run's name, the step, and a checksum of all of them."""
    crc = 0
    for leaf in jax.tree.leaves(model.denoise):
        crc = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), crc)
    return {"run": None if model.run is None else model.run.name, "step": model.step, "crc32": crc}


def otsu_watershed() -> Method:
    """{"labels"}, with the parameters chosen on dev."""
    parameters = store.get(("choices", "segmentation", "otsu_watershed"), CHOOSE)["parameters"]
    how = OtsuWatershed(**parameters)
    return Method("otsu_watershed", parameters, lambda field: {"labels": how(field.image)})


def classical(name: str, see: See, pairs: Pairs, photons: int) -> Method:
    """{"x0"} of a classical method with the parameters chosen on dev, or of "noisy", the recording itself.

    For super-resolution: "spline" enlarges the recording, "tv" is the method of `enlarging`.
    """
    settings: dict[str, Any] = {"photons": photons}
    if name == "spline":
        return Method(name, settings, lambda field: {"x0": enlarging.spline(see(field), exposure.FACTOR)})
    if isinstance(pairs, SuperResolution):
        parameters = store.get(("choices", "super-resolution", str(photons), name), CHOOSE)["parameters"]
        enlarge = functools.partial(enlarging.restore, enlarging.Enlarging(**parameters), pairs, photons)
        return Method(name, settings | parameters, lambda field: {"x0": enlarge(see(field))})
    if name == "noisy":
        return Method(name, settings, lambda field: {"x0": see(field)})
    parameters = store.get(("choices", "denoising", str(photons), name), CHOOSE)["parameters"]
    how, camera = denoising_baselines.METHODS[name](**parameters), exposure.camera(pairs, photons)
    return Method(
        name, settings | parameters, lambda field: {"x0": denoising_baselines.denoise(how, camera, see(field))}
    )


def regressed(model: Model, see: See, photons: int | None) -> Method:
    """{"x0"}: distance or image."""
    settings = identity(model) | {"photons": photons}
    return Method("regression", settings, lambda field: {"x0": regression.predict(model, see(field))[..., 0]})


def diffusion(model: Model, task: Task, see: See, photons: int | None, samples: int, calls: int) -> Method:
    """{"x0"}, the mean distance or image of `jaxdiff.tasks`; of images also "first", a sample; of denoising "uncorrected"."""

    def predict(field: Field) -> Arrays:
        if task == "segmentation":
            return {"x0": segment(key_of_field(field), model, see(field), samples, calls=calls).distance}
        if task == "super-resolution":
            enlarged = super_resolve(key_of_field(field), model, see(field), samples, calls=calls)
            return {"x0": enlarged.image[..., 0], "first": enlarged.samples[0, ..., 0]}
        out = denoise(key_of_field(field), model, see(field), samples, calls=calls)
        fitted, raw = None if model.pairing is None else model.pairing.pairs, out.image
        if out.bias is not None and isinstance(fitted, Denoising) and fitted.offset is not None:
            raw = (fitted.offset + (raw - fitted.offset) * (1 + np.nan_to_num(out.bias))).astype(np.float32)
        return {"x0": out.image[..., 0], "first": out.samples[0, ..., 0], "uncorrected": raw[..., 0]}

    settings = identity(model) | {"photons": photons, "samples": samples, "calls": calls}
    return Method("diffusion", settings, predict)


def draws(model: Model, task: Task, see: See, photons: int | None, samples: int, calls: int) -> Method:
    """{"draws"} (K, Y, X): samples of the distance, or of the image, of denoising with its mean light corrected."""

    def predict(field: Field) -> Arrays:
        if task != "denoising":
            return {"draws": conditional_samples(key_of_field(field), model, see(field), samples, calls=calls)[..., 0]}
        return {"draws": denoise(key_of_field(field), model, see(field), samples, calls=calls).samples[..., 0]}

    settings = identity(model) | {"photons": photons, "samples": samples, "calls": calls}
    return Method("draws", settings, predict)


def key_of_field(field: Field) -> Any:
    """Of the samples of a field."""
    return jax.random.fold_in(jax.random.key(SEED), zlib.crc32(field.name.encode()) & 0x7FFFFFFF)
