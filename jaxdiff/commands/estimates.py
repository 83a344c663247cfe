"""What commands from image to image share: their options, and the files that an estimate becomes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxdiff.commands.calibrated import IntervalOptions, described, usable
from jaxdiff.commands.folders.options import task_over_folder
from jaxdiff.data.files.write import check_writable, write_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.pairing import spread
from jaxdiff.data.pairs import Parallel
from jaxdiff.data.shown.picture import GAP, GAP_GREY, coloured, write_png
from jaxdiff.model import Model
from jaxdiff.tasks.calibrate_intervals import task_settings
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.interval_calibration import IntervalCalibration
from jaxdiff.tasks.sampled import check_posterior_std, check_task

ENDINGS = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}


@dataclass(frozen=True, kw_only=True)
class EstimateOptions(IntervalOptions):
    """Options of a task that writes an estimated image for each image of a folder."""

    keep_samples: bool = False
    """Write the single samples, too."""
    format: Literal["ome-tiff", "ome-zarr"] = "ome-tiff"
    """Of images: a file, or for large ones a folder that viewers read in parts."""
    dtype: Literal["float32"] | None = None
    """float32 keeps all digits; default the dtype of the file, or of the training images where these are of another kind."""


def estimate_folder(
    options: EstimateOptions,
    task: str,
    make: Callable[..., Estimate],
    numbers: Callable[[Any], Mapping[str, str | float]] = lambda result: {},
    **own: Any,
) -> int:
    """The command of a task: the files of `suffixes` for every image; the exit status.

    make: (key, model, image, samples, calls=, solver=, **own) -> estimate. numbers: of an estimate, for the summary. own:
    options that only this task has.
    """
    model = options.model(task)
    check_task(model, task)
    solver = options.solver_of(model)
    check_posterior_std(options.std, solver)
    settings = {"calls": options.calls, "solver": solver, "posterior_std": options.std, **own}
    calibration = usable(
        options, model, task, IntervalCalibration, lambda: task_settings(model, make, options.samples, **settings)
    )

    def work(key, image, info, path):
        check_results(options, result_info(info, model))
        result = make(key, model, image, options.samples, **settings)
        size = pixel_size_in_words(result_info(info, model), model.inputs.factor)
        files = write_estimate(result, image, result_info(info, model), path, options, calibration)
        return {**files, **size, **numbers(result)}

    also = described(calibration)
    return task_over_folder(options, model, suffixes(options, intervals=calibration is not None), work, also=also)


def check_results(options: EstimateOptions, info: DataInfo) -> None:
    """Raises DataError, before there is one, for a result of `info` that the format of files cannot hold."""
    if options.format == "ome-tiff":
        check_writable(options.dtype or info.dtype)


def suffixes(options: EstimateOptions, samples: int | None = None, intervals: bool = False) -> tuple[str, ...]:
    """Of the files that `write_estimate` writes for each image: NAME.ome.tif, of two samples or more NAME_std.ome.tif,
    NAME_overlay.png, and the samples where they are kept. samples: default those of the options. intervals: whether there are
    NAME_low and NAME_high."""
    end, number = ENDINGS[options.format], options.samples if samples is None else samples
    std = (f"_std{end}",) if number > 1 else ()
    std += (f"_low{end}", f"_high{end}") if intervals else ()
    sample_files = tuple(f"_sample{k}{end}" for k in range(number if options.keep_samples else 0))
    return (end, *std, "_overlay.png", *sample_files)


def write_estimate(
    result: Estimate,
    image: np.ndarray,
    info: DataInfo,
    path: Path,
    options: EstimateOptions,
    calibration: IntervalCalibration | None = None,
) -> dict[str, float]:
    """Writes `image`, `std` and `samples` of `result`, and its calibrated interval, as files of `info` at `path` + suffix,
    beside the picture of what was given; numbers for the summary. One sample has no spread: there is neither file nor number,
    and a warning says so."""
    name, end = path.name, ENDINGS[options.format]
    write = write_image
    if options.format == "ome-zarr":
        from jaxdiff.data.files.ome_zarr import write_ome_zarr as write
    saturated = write(path.with_name(f"{name}{end}"), result.image, info, options.dtype)
    spreads = len(result.samples) > 1
    if spreads:
        write(path.with_name(f"{name}_std{end}"), result.std, info.replace(dtype="float32"))
    else:
        warnings.warn(
            f"one sample has no spread: NAME_std{end} was not written; to fix: --samples 2 or more (with --direct, --calls "
            "too)",
            stacklevel=1,
        )
    width = {}
    if calibration is not None:
        interval = calibration.interval(result, options.wanted(calibration))
        for side, pixels in interval._asdict().items():
            write(path.with_name(f"{name}_{side}{end}"), pixels, info.replace(dtype="float32"))
        width = {"mean_interval_width": float(np.mean(interval.high - interval.low))}
    for k, one in enumerate(result.samples if options.keep_samples else ()):
        saturated += write(path.with_name(f"{name}_sample{k}{end}"), one, info, options.dtype)
    if saturated:
        warnings.warn(
            f"values beyond the range of {options.dtype or info.dtype} became its end (saturated_values in the summary "
            "counts them); to fix: --dtype float32 keeps all",
            stacklevel=1,
        )
    side_by_side(spread(image, result.image.shape[:-1]), result.image, path.with_name(f"{name}_overlay.png"))
    return {**({"mean_std": float(result.std.mean())} if spreads else {}), **width, "saturated_values": saturated}


def result_info(info: DataInfo, model: Model) -> DataInfo:
    """What the estimate of an image of `info` is: its pixels are those of the image over the model's factor.

    Where images and inputs of the training were recorded apart, the dtype is that of the images; a translation has their
    channels, too, and is marked as synthetic.
    """
    info, of_model = info_over(info, model.inputs.factor), model.info
    pairs = None if model.pairing is None else model.pairing.pairs
    if not isinstance(pairs, Parallel):
        return info
    info = info.replace(dtype=of_model.dtype)
    if pairs.task != "translate":
        return info
    return info.replace(channel_names=of_model.channel_names, colour=of_model.colour, synthetic=True)


def info_over(info: DataInfo, factor: Sequence[float]) -> DataInfo:
    """`info` of an image with `factor` times as many pixels in the same field."""
    sizes = {a: None if s is None else s / f for (a, s), f in zip(info.pixel_size.items(), factor)}
    return info.replace(pixel_size=sizes)


def pixel_size_in_words(info: DataInfo, factor: Sequence[float]) -> dict[str, str]:
    """What the summary says of the pixels of an image of `info`, with `factor` times as many as that which it was made of.

    Nothing where there are as many. Where the sizes are unknown a warning says so.
    """
    if all(f == 1 for f in factor):
        return {}
    if None in info.pixel_size.values():
        warnings.warn(
            "the file does not say its pixel size: it is not compared with that of the model's training, and the result "
            "says none; to fix: write it into the file",
            stacklevel=2,
        )
    sizes = (
        f"{axis} {'unknown' if size is None else f'{size:.6g} {info.unit}'}" for axis, size in info.pixel_size.items()
    )
    return {"pixel_size": ", ".join(sizes)}


def side_by_side(left: np.ndarray, right: np.ndarray, path: Path) -> Path:
    """PNG of two images (*spatial, C) of one spatial shape, on one scale where they have as many channels.

    Of volumes it is the middle plane.
    """
    if left.ndim == 4:
        left, right = left[len(left) // 2], right[len(right) // 2]
    left, right = left[None].astype(np.float32), right[None].astype(np.float32)
    if left.shape == right.shape:
        parts = list(coloured(np.concatenate([left, right])))
    else:
        parts = [coloured(left)[0], coloured(right)[0]]
    gap = np.full((parts[0].shape[0], GAP, 3), GAP_GREY, np.uint8)
    return write_png(path, np.concatenate([parts[0], gap, parts[1]], axis=1))


def bias_in_words(bias: np.ndarray) -> float | str:
    """The mean of `mean_bias` over the channels where it is known; "not measurable" where it is in none."""
    return "not measurable" if np.isnan(bias).all() else float(np.nanmean(bias))
