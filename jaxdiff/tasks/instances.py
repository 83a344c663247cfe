"""Instance labels from a signed distance: the inverse of `jaxdiff.data.pairs.signed_distance`."""

import itertools

import numpy as np
from jaxtyping import Bool, Float, Int


def instances(
    distance: Float[np.ndarray, "*field"],
    foreground: Bool[np.ndarray, "*field"] | None = None,
    *,
    dynamic: float = 2.5,
    least: float = 20,
) -> Int[np.ndarray, "*field"]:
    """Labels 1..n, int32, 0 the background, from distances in pixels.

    The watershed of the distance, flooded from its maxima of sufficient dynamic (Vincent & Soille, IEEE TPAMI 13, 1991,
    doi:10.1109/34.87344; Grimaud 1992, doi:10.1117/12.60650). Pixels are touching along edges and corners. Parts of the
    foreground that do not touch are never one object.

    Args:
        distance: to the background, pixels, positive inside.
        foreground: default distance > 0.
        dynamic: two maxima are two objects where the lower one stands at least so far above the pass between them; smaller
            ripples are of one object.
        least: pixels of the smallest object; smaller ones become background.

    Returns:
        Labels of the field's shape; without foreground there are none.
    """
    foreground = distance > 0 if foreground is None else foreground
    if not foreground.any():
        return np.zeros(distance.shape, np.int32)
    inner = (slice(1, -1),) * distance.ndim
    labels = _flooded(np.pad(distance, 1), np.pad(foreground, 1), dynamic)[inner]
    sizes = np.bincount(labels.ravel())
    large = (sizes >= least) & (np.arange(sizes.size) > 0)
    return np.where(large, np.cumsum(large), 0).astype(np.int32)[labels]


def _flooded(height: np.ndarray, foreground: np.ndarray, dynamic: float) -> np.ndarray:
    """Numbers of basins, 0 outside the foreground, which is nowhere at the edge.

    Pixels come from the highest to the lowest. One without neighbours that came before is a new maximum; one with
    neighbours of several maxima is the pass between them, where all but the highest end whose dynamic is too small. Each goes
    where its highest neighbour went, so that a flat valley is parted in its middle.
    """
    strides = np.array(height.strides) // height.itemsize
    steps = [int(np.dot(step, strides)) for step in itertools.product((-1, 0, 1), repeat=height.ndim) if any(step)]
    pixels = np.flatnonzero(foreground)
    flat = height.ravel()
    order = pixels[np.argsort(-flat[pixels], kind="stable")]
    labels, parent, peak = [0] * height.size, [0], [np.inf]

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = parent[basin]
        return basin

    levels = flat.tolist()
    for pixel in order.tolist():
        level = levels[pixel]
        near = [pixel + step for step in steps if labels[pixel + step]]
        if not near:
            parent.append(len(parent))
            peak.append(level)
            labels[pixel] = parent[-1]
            continue
        basins = {root(labels[other]) for other in near}
        top = min(basins, key=lambda basin: (-peak[basin], basin))
        for basin in basins - {top}:
            if peak[basin] - level < dynamic:
                parent[basin] = top
        labels[pixel] = root(labels[max(near, key=levels.__getitem__)])
    roots = np.array([root(basin) for basin in range(len(parent))])
    return roots[np.array(labels)].reshape(height.shape)
