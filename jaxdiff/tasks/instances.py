"""Instance labels from a signed distance: the inverse of `jaxdiff.data.pairs.signed_distance`."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage


def instances(
    distance: Float[np.ndarray, "*field"],
    foreground: Bool[np.ndarray, "*field"] | None = None,
    *,
    seed: float = 4.0,
    least: int = 20,
) -> Int[np.ndarray, "*field"]:
    """Labels 1..n, int32, 0 the background, from distances in pixels.

    foreground: default distance > 0. seed: connected pixels at least so far inside are the core of one object; parts of
    the foreground without any are objects too. least: pixels of the smallest object; smaller ones become background.
    A field without foreground gives no labels.

    Every other pixel goes to the nearest core of its own part. Cores are objects less one and the same rim, so that
    pixels as far from one as from another are where the objects touch: the watershed line of their distance.
    """
    foreground = distance > 0 if foreground is None else foreground
    if not foreground.any():
        return np.zeros(distance.shape, np.int32)
    every = ndimage.generate_binary_structure(distance.ndim, distance.ndim)
    parts, _ = _label(foreground, every)
    cores, number = _label(foreground & (distance >= seed), every)
    labels = np.where(np.isin(parts, np.unique(parts[cores > 0])), 0, parts + number) * foreground
    labels = labels + cores
    nearest = _nearest(labels > 0)
    grown = np.where(foreground, labels[nearest], 0)
    # The nearest core of all may belong to another part, across the background.
    for part in np.unique(parts[foreground & (parts[nearest] != parts)]):
        inside = parts == part
        grown[inside] = labels[_nearest(inside & (labels > 0))][inside]
    sizes = np.bincount(grown.ravel())
    kept = (sizes >= least) & (np.arange(sizes.size) > 0)
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[grown]


def _label(where: np.ndarray, structure: np.ndarray) -> tuple[np.ndarray, int]:
    labels = np.empty(where.shape, np.int32)
    return labels, int(ndimage.label(where, structure, output=labels))  # type: ignore[arg-type]


def _nearest(where: np.ndarray) -> tuple[np.ndarray, ...]:
    """For every pixel the indices of the nearest one of `where`; of any pixel where there is none."""
    found: Any = ndimage.distance_transform_edt(~where, return_distances=False, return_indices=True)
    return tuple(found)
