"""Translation: the colours of a blood smear from its green channel, beside a colour table and a regression.

The colours of a smear are no invention: two dyes make them, which the green tells apart only by shape and surroundings.
A table from green level to mean colour, of the training images, is what a method without eyes for shape can do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from benchmarks.report import interval, machine, table
from benchmarks.tasks import methods, regression, scores, smears, store, uncertainty
from benchmarks.tasks.calls import CALLS, SAMPLES, choose, rule
from benchmarks.tasks.fields import FEW, middle, spread
from jaxdiff.data.errors import DataError
from jaxdiff.loading import load
from jaxdiff.metrics import data_range, psnr, ssim
from jaxdiff.model import Model
from jaxdiff.tasks import translate
from jaxdiff.tasks.sampled import check_task

SIZE = 128
"""Side of the middles that calls and uncertainty are measured on, pixels."""
K = 4
Predict = Callable[[int, np.ndarray], np.ndarray]
"""(number of the image, green (Y, X, 1)) -> colours (Y, X, 3)."""


@dataclass(frozen=True)
class Translation:
    """Colours from green: calls (dev), or scores and uncertainty (val)."""

    data: Path
    """The BCCD folder, with {train,val}."""
    run: Path
    """Run folder of the diffusion model."""
    regression: Path
    """Run folder of the regression."""
    split: Literal["dev", "val"] = "dev"
    """dev, the held-out fifth of train, chooses the calls; val once, for the numbers that are reported."""
    num: int = FEW
    """Pictures."""
    again: bool = False
    """Replace numbers of val that are stored."""


def measure(options: Translation) -> None:
    """Stores the table of calls (dev), or scores and uncertainty (val). Raises DataError before any long work."""
    if options.split == "val":
        store.check_new(("scores", "translation", "val"), options.again)
    model, net = load(options.run), load(options.regression)
    check_task(model, "translate")
    fit = [smears.read(file) for file in smears.names(options.data, "fit")]
    peak = data_range(fit)
    files = smears.names(options.data, options.split)
    if not 1 <= options.num <= len(files):
        raise DataError(f"{options.num} pictures of {options.split}", f"1 to {len(files)}", "lower --num")
    chosen = [files[i] for i in spread([file.stem for file in files], options.num)]
    truths, names = [smears.read(file) for file in chosen], [file.stem for file in chosen]
    if options.split == "dev":
        return _calls(model, net, truths, names, peak)
    calls = store.get(("calls", "translation"), "translation --split dev first")["chosen"]
    _scores(model, net, fit=fit, truths=truths, names=names, peak=peak, calls=calls)


def _calls(model: Model, net: Model, truths: Sequence[np.ndarray], names: Sequence[str], peak: float) -> None:
    crops = [middle(truth, SIZE) for truth in truths]
    rows = []
    for samples in SAMPLES:
        for calls in CALLS:
            predicted, seconds = _timed(crops, _diffusion(model, samples, calls))
            rows.append(
                {"method": "diffusion", "calls": calls, "samples": samples} | _means(crops, predicted, peak, seconds)
            )
            print(rows[-1], flush=True)
    predicted, seconds = _timed(crops, lambda _, g: regression.predict(net, g))
    rows.append({"method": "regression", "calls": 1, "samples": 1} | _means(crops, predicted, peak, seconds))
    print(rows[-1], flush=True)
    best = choose(rows, "translation")
    entry = {"settings": methods.identity(model), "size": SIZE, "fields": names, "rows": rows, "chosen": best}
    store.put(("calls", "translation"), entry | {"rule": rule("translation")})


def _scores(
    model: Model,
    net: Model,
    fit: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    names: Sequence[str],
    peak: float,
    calls: int,
) -> None:
    table = colour_table(fit)
    every: dict[str, Predict] = {
        "colour_table": lambda _, green: table[green[..., 0]],
        "regression": lambda _, green: regression.predict(net, green),
        "diffusion": _diffusion(model, K, calls),
        "diffusion_one_sample": _diffusion(model, 1, calls),
    }
    rows, entries = {}, {}
    for name, predict in every.items():
        predicted, seconds = _timed(truths, predict)
        rows[name] = [scored(truth, image, peak) for truth, image in zip(truths, predicted)]
        entries[name] = {"seconds": seconds, "scores": scores.summary(rows[name], names)}
        print(name, {k: round(v["mean"], 3) for k, v in entries[name]["scores"].items()}, flush=True)
    leads = {name: scores.ahead(rows["diffusion"], rows[name], names) for name in ("colour_table", "regression")}
    crops = [middle(truth, SIZE) for truth in truths]
    draws = [
        translate(_key(i), model, _green(crop), uncertainty.SAMPLES, calls=calls).samples
        for i, crop in enumerate(crops)
    ]
    spread = {"samples": uncertainty.SAMPLES} | uncertainty.table([c.astype(np.float32) for c in crops], draws, None)
    print({name: value for name, value in spread.items() if np.ndim(value) == 0}, flush=True)
    settings = {"model": methods.identity(model), "regression": methods.identity(net), "samples": K, "calls": calls}
    entry = {"settings": settings, "fields": list(names), "methods": entries, "leads": leads, "uncertainty": spread}
    store.put(("scores", "translation", "val"), entry)


def colour_table(fit: Sequence[np.ndarray]) -> np.ndarray:
    """(256, 3) float32: the mean colour of the pixels of each green level; levels that do not occur are interpolated."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in fit])
    green = pixels[:, smears.GREEN]
    counts = np.bincount(green, minlength=256)
    levels = np.flatnonzero(counts)
    sums = [np.bincount(green, pixels[:, channel], minlength=256) for channel in range(3)]
    return np.stack([np.interp(np.arange(256), levels, s[levels] / counts[levels]) for s in sums], axis=-1).astype(
        np.float32
    )


def scored(truth: np.ndarray, image: np.ndarray, peak: float) -> scores.Row:
    """PSNR and SSIM of an image (Y, X, 3) over its red and blue: the green was given."""
    predicted_channels = [channel for channel in range(3) if channel != smears.GREEN]
    one, other = truth[..., predicted_channels].astype(np.float64), image[..., predicted_channels].astype(np.float64)
    return {"psnr": psnr(one, other, peak), "ssim": ssim(one, other, peak)}


def _means(
    truths: Sequence[np.ndarray], predicted: Sequence[np.ndarray], peak: float, seconds: float
) -> dict[str, float]:
    every = [scored(truth, image, peak) for truth, image in zip(truths, predicted)]
    return {name: float(np.mean([row[name] for row in every])) for name in ("psnr", "ssim")} | {"seconds": seconds}


def _timed(truths: Sequence[np.ndarray], predict: Predict) -> tuple[list[np.ndarray], float]:
    """The prediction of each, and the median of their seconds: the first one's time holds what is compiled."""
    predicted, seconds = [], []
    for i, truth in enumerate(truths):
        began = time.perf_counter()
        predicted.append(predict(i, _green(truth)))
        seconds.append(time.perf_counter() - began)
    return predicted, float(np.median(seconds))


def _diffusion(model: Model, samples: int, calls: int) -> Predict:
    return lambda i, green: translate(_key(i), model, green, samples, calls=calls).image


def _green(truth: np.ndarray) -> np.ndarray:
    return truth[..., smears.GREEN, None]


def _key(number: int) -> Any:
    return jax.random.fold_in(jax.random.key(scores.SEED), number)


NAMES = {
    "colour_table": "mean colour of each green level",
    "regression": "regression U-Net",
    "diffusion": "**diffusion**, mean of {samples}",
    "diffusion_one_sample": "diffusion, one sample",
}


def markdown(result: Mapping[str, Any]) -> list[str]:
    """Scores of val, calls of dev, uncertainty."""
    entry = result.get("scores", {}).get("translation", {}).get("val")
    calls = result.get("calls", {}).get("translation")
    if entry is None or calls is None:
        return ["Not measured yet."]
    rows = [
        [
            NAMES[name].format(samples=entry["settings"]["samples"]),
            interval(of["scores"]["psnr"]),
            interval(of["scores"]["ssim"]),
            f"{of['seconds']:.2g}",
        ]
        for name, of in entry["methods"].items()
    ]
    leads = "; ".join(f"{NAMES[name]} {interval(of['psnr'], sign='+')}" for name, of in entry["leads"].items())
    tried = [
        [
            row["method"],
            str(row["calls"]),
            str(row["samples"]),
            f"{row['psnr']:.4g}",
            f"{row['ssim']:.4g}",
            f"{row['seconds']:.2g}",
        ]
        for row in calls["rows"]
    ]
    spread = entry["uncertainty"]
    bins = [[f"{std:.3g}", f"{error:.3g}"] for std, error in zip(spread["std"], spread["error"])]
    return [
        "The red and blue of blood smears (BCCD, pixels binned by 2) from their green, `configs/blood_translation.py`, a "
        "Brownian bridge.",
        table(["method", "PSNR (dB)", "SSIM", "s an image"], rows),
        f"PSNR of diffusion minus that of: {leads}. Means over {len(entry['fields'])} images of val, 95 % intervals of a "
        f"bootstrap over images; {entry['settings']['calls']} calls. {machine(entry)}",
        table(["method", "calls", "samples", "PSNR (dB)", "SSIM", "s a crop"], tried),
        f"Middles of {calls['size']}×{calls['size']} pixels of {len(calls['fields'])} images of the held-out fifth of train. "
        f"Chosen: {calls['chosen']} calls ({calls['rule']}). {machine(calls)}",
        f"{100 * spread['coverage']:.1f} % of {spread['pixels']} values lie between the least and the greatest of "
        f"{spread['samples']} samples ({100 * spread['nominal']:.0f} % if truth and samples were alike).",
        table(["predicted std, rms", "error of the mean, rms"], bins),
    ]
