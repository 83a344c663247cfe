"""A segmentation to look at: the image with the outlines of its objects, beside it the uncertainty."""

import colorsys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import checked_labels
from jaxdiff.data.shown.picture import GAP, GAP_GREY, NOT_FINITE, coloured, write_png

LEAST, MOST = 512, 2048
"""Pixels of the picture's longer side: small images are enlarged, of large ones every n-th pixel is shown."""
BAR, LEGEND = 14, 84
MAGMA = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""Matplotlib's magma at 0, ¼, ½, ¾ and 1: brighter is more, also in grey and to colour-blind eyes."""


def overlay(
    image: ArrayLike,
    mask: ArrayLike,
    path: str | Path,
    uncertainty: ArrayLike | None = None,
    title: str = "uncertainty",
    kinds: Mapping[int, int] | None = None,
) -> Path:
    """Write `image` (*spatial, C) with the outlines of `mask` (*spatial) as PNG, replacing what is there; the path.

    The image is shown as by `data.shown.picture.sheet`: stretched between its 0.1th and 99.9th percentiles, one channel
    grey, of a volume the middle z plane. A label has the same colour in every picture, or with `kinds` (a number from 1 for
    each label, such as that of its class) a kind has. `uncertainty` (*spatial), or
    another map named by `title`, is shown beside it, from the smaller of 0 and its lowest value to its highest, which
    the legend says; NaN and infinite pixels are red. Outlines lie inside the objects.

    Raises DataError for arrays that do not match, or a mask that is not integer labels.
    """
    pixels, labels = np.asarray(image), checked_labels(mask, f"a mask for {path}")
    maps = [] if uncertainty is None else [np.asarray(uncertainty)]
    if labels.ndim not in (2, 3) or 0 in pixels.shape or any(v.shape != pixels.shape[:-1] for v in (labels, *maps)):
        shapes = ", ".join(str(v.shape) for v in (pixels, labels, *maps))
        raise DataError(
            f"shapes {shapes} for {path}", "(*spatial, C) and (*spatial), alike", "give what belongs together"
        )
    if labels.ndim == 3:
        pixels, labels, *maps = (v[len(v) // 2] for v in (pixels, labels, *maps))
    step, factor = -(-max(labels.shape) // MOST), max(1, LEAST // max(labels.shape))
    colour = coloured(pixels[None].astype(np.float32))[0]  # of all pixels, also where some are left out below
    shown, labels, *maps = (_scaled(v, step, factor) for v in (colour, labels, *maps))

    edge = outlines(labels, max(1, factor // 4))
    of_edge = labels[edge]
    shown[edge] = colours(of_edge if kinds is None else [kinds[label] for label in of_edge.tolist()])
    panels = [shown]
    for values in maps:
        low, high = _range(values)
        panels += [_heat(values, low, high), _legend(len(shown), low, high, title)]
    return write_png(path, _side_by_side(panels))


def colours(labels: ArrayLike) -> np.ndarray:
    """Bright colours (..., 3) uint8 of labels, the same for a label everywhere; neighbouring numbers are far apart."""
    unique, index = np.unique(np.asarray(labels), return_inverse=True)
    golden = 0.6180339887498949  # multiples of it, modulo 1, fill the circle of hues evenly
    rgb = [colorsys.hsv_to_rgb(int(n) * golden % 1, (0.8, 0.6, 0.4)[int(n) % 3], 1.0) for n in unique]
    return np.round(255 * np.array(rgb).reshape(-1, 3)).astype(np.uint8)[index]


def outlines(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """(Y, X) bool: the pixels of objects with another label, or none, at most `width` pixels up, down, left or right."""
    edge = np.zeros(mask.shape, bool)
    padded = np.pad(mask, width, mode="edge")  # the image's edge is no outline
    height, across = mask.shape
    for shift in (*range(-width, 0), *range(1, width + 1)):
        edge |= padded[width + shift : width + shift + height, width : width + across] != mask
        edge |= padded[width : width + height, width + shift : width + shift + across] != mask
    return edge & (mask > 0)


def _scaled(values: np.ndarray, step: int, factor: int) -> np.ndarray:
    return values[::step, ::step].repeat(factor, axis=0).repeat(factor, axis=1)


def _range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (min(0.0, float(finite.min())), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, high if high > low else low + 1.0


def _heat(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(Y, X) -> (Y, X, 3) uint8 in magma."""
    finite = np.isfinite(values)
    level = (np.where(finite, values, low) - low) / (high - low)
    stops = np.linspace(0, 1, len(MAGMA))
    picture = np.stack([np.interp(level, stops, channel) for channel in zip(*MAGMA)], axis=-1).round().astype(np.uint8)
    picture[~finite] = NOT_FINITE
    return picture


def _legend(height: int, low: float, high: float, title: str) -> np.ndarray:
    """A bar of the colours, its ends in numbers, under the title."""
    canvas = Image.new("RGB", (LEGEND, height), (0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    top, bottom = 24, max(25, height - 6)
    rising = np.linspace(high, low, bottom - top)[:, None].repeat(BAR, axis=1)
    canvas.paste(Image.fromarray(_heat(rising, low, high)), (6, top))
    draw.text((6, 4), title, fill="white")
    draw.text((BAR + 12, top - 2), f"{high:.3g}", fill="white")
    draw.text((BAR + 12, bottom - 12), f"{low:.3g}", fill="white")
    return np.asarray(canvas)


def _side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    height, width = len(panels[0]), sum(p.shape[1] for p in panels) + GAP * (len(panels) + 1)
    canvas = np.full((height + 2 * GAP, width, 3), GAP_GREY, np.uint8)
    left = GAP
    for panel in panels:
        canvas[GAP : GAP + height, left : left + panel.shape[1]] = panel
        left += panel.shape[1] + GAP
    return canvas
