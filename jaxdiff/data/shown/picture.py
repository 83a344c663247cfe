"""A sheet of images as one PNG, for previews and checks."""

import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from jaxdiff.durable import publish

GAP = 2  # pixels between images
GAP_GREY = 64
NOT_FINITE = (255, 0, 0)  # NaN and infinite pixels are seen, not hidden


def sheet(
    images: ArrayLike,
    path: str | Path,
    columns: int | None = None,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Path:
    """Write a grid of images (N, *spatial, C), float or integer, as an 8-bit PNG; returns the path.

    Black is `low` and white `high` for all images alike (a number, or one a channel; default: the 0.1th and 99.9th
    percentile over the whole sheet, channel by channel; values outside are shown as black or white). One channel is
    grey, two are green and magenta, three are red, green and blue; of four or more the first is shown. Of a volume
    the middle z plane is shown. NaN and infinite pixels are red. `columns` defaults to a nearly square sheet.

    Raises ValueError for an empty batch or one that is not (N, Y, X, C) or (N, Z, Y, X, C).
    """
    images = np.asarray(images)
    if images.ndim not in (4, 5) or 0 in images.shape:
        raise ValueError(
            f"got images of shape {images.shape}; expected (N, Y, X, C) or (N, Z, Y, X, C), none of them 0; "
            "to fix: add the batch and channel axes"
        )
    if images.ndim == 5:
        images = images[:, images.shape[1] // 2]
    colour = coloured(images.astype(np.float32), low, high)
    number, height, width, _ = colour.shape
    across = min(number, math.ceil(math.sqrt(number)) if columns is None else columns)
    rows = math.ceil(number / across)
    canvas = np.full((rows * (height + GAP) + GAP, across * (width + GAP) + GAP, 3), GAP_GREY, np.uint8)
    for i, image in enumerate(colour):
        top, left = GAP + (i // across) * (height + GAP), GAP + (i % across) * (width + GAP)
        canvas[top : top + height, left : left + width] = image

    return write_png(path, canvas)


def write_png(path: str | Path, picture: np.ndarray) -> Path:
    """Write (Y, X, 3) uint8 as a PNG, whole or not at all, replacing what is there; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        Image.fromarray(picture).save(partial, format="PNG")
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def coloured(images: np.ndarray, low: ArrayLike | None = None, high: ArrayLike | None = None) -> np.ndarray:
    """(N, Y, X, C) float -> (N, Y, X, 3) uint8, as `sheet` says."""
    channels = images.shape[-1]
    low, high = (None if v is None else np.broadcast_to(np.asarray(v, np.float32), (channels,)) for v in (low, high))
    if channels > 3:
        images = images[..., :1]
        low, high = (None if v is None else v[:1] for v in (low, high))
    finite = np.isfinite(images)
    pixels = images.reshape(-1, images.shape[-1])
    if low is None:
        low = np.array([_percentile(c, 0.1) for c in pixels.T], np.float32)
    if high is None:
        high = np.array([_percentile(c, 99.9) for c in pixels.T], np.float32)
    span = np.where(high > low, high - low, 1.0)
    level = np.clip((np.where(finite, images, 0.0) - low) / span, 0.0, 1.0)
    match level.shape[-1]:
        case 1:
            level = np.repeat(level, 3, axis=-1)
        case 2:  # green and magenta: distinguishable to colour-blind eyes, white where both are bright
            level = np.stack([level[..., 1], level[..., 0], level[..., 1]], axis=-1)
    picture = np.round(255 * level).astype(np.uint8)
    picture[~finite.all(axis=-1)] = NOT_FINITE
    return picture


def _percentile(values: np.ndarray, q: float) -> float:
    values = values[np.isfinite(values)]
    return float(np.percentile(values, q)) if values.size else 0.0
