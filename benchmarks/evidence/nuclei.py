"""One fixed segmentation, the same for real and generated crops, and what it measures of each nucleus."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

PLANE = np.zeros((3, 3, 3), bool)
PLANE[1] = ndimage.generate_binary_structure(2, 1)  # a stack of crops: nothing connects one crop to the next


@dataclass(frozen=True)
class Segmentation:
    """Smooth, one threshold for all crops, split by a watershed of the distance to the background. Units: pixels."""

    smooth: float
    """Standard deviation of the Gaussian before the threshold."""
    level: float
    """Threshold in network units (those of the asinh normaliser fitted on train)."""
    seed_smooth: float
    """Standard deviation of the Gaussian over the distance map."""
    seed_radius: int
    """A seed is the highest point of the distance map in a square of 2 seed_radius + 1."""
    min_area: int
    """Smaller pieces (mostly nuclei cut by the crop's edge) are left out, in masks too."""


@dataclass(frozen=True)
class Nuclei:
    """One row a nucleus: the crop it is in, area (pixels), solidity (0 to 1), mean intensity (grey levels)."""

    crop: np.ndarray
    area: np.ndarray
    solidity: np.ndarray
    intensity: np.ndarray


def segment(z: np.ndarray, how: Segmentation) -> np.ndarray:
    """Labels (N, Y, X) int32, 0 = background, no label in two crops, of crops (N, Y, X) in network units."""
    return split(foreground(z, how.smooth, how.level), how)


def foreground(z: np.ndarray, smooth: float, level: float) -> np.ndarray:
    """Where the smoothed crops exceed the level, holes filled."""
    above = ndimage.gaussian_filter(z, (0, smooth, smooth)) > level
    return np.asarray(ndimage.binary_fill_holes(above, structure=PLANE))


def split(mask: np.ndarray, how: Segmentation) -> np.ndarray:
    """Touching nuclei apart: a watershed from the tops of the smoothed distance map."""
    from skimage.segmentation import watershed  # pyright: ignore[reportMissingImports]: benchmarks/requirements.txt

    size = max(mask.shape[1:])
    distance = np.asarray(ndimage.distance_transform_edt(mask, sampling=(1e6, 1, 1)))
    height = np.minimum(distance, size).astype(np.float32)  # a crop without background is nowhere near any
    height = ndimage.gaussian_filter(height, (0, how.seed_smooth, how.seed_smooth))
    side = 2 * how.seed_radius + 1
    tops = mask & (height == ndimage.maximum_filter(height, size=(1, side, side)))
    seeds = np.empty(mask.shape, np.int32)
    ndimage.label(tops, structure=PLANE, output=seeds)
    return without_small(watershed(-height, seeds, connectivity=PLANE, mask=mask), how.min_area)


def without_small(labels: np.ndarray, min_area: int) -> np.ndarray:
    """Labels of fewer pixels become background; the others are numbered 1, 2, ..."""
    area = np.bincount(labels.ravel())
    keep = area >= min_area
    keep[0] = False
    return (np.cumsum(keep) * keep)[labels].astype(np.int32)


def measure(labels: np.ndarray, images: np.ndarray) -> Nuclei:
    """Nuclei of labels 1..K (N, Y, X), with intensities from images in grey levels."""
    area = np.bincount(labels.ravel())[1:]
    intensity = np.bincount(labels.ravel(), images.ravel())[1:] / area
    places = ndimage.find_objects(labels)
    crop = np.array([place[0].start for place in places], np.int64)
    shape = [solidity(labels[place][0] == k + 1) for k, place in enumerate(places)]
    return Nuclei(crop, area.astype(np.float64), np.array(shape, np.float64), intensity)


def solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull, pixels taken as unit squares: 1 for a rectangle, whatever its size."""
    y, x = np.nonzero(mask & ~np.asarray(ndimage.binary_erosion(mask), bool))  # inner pixels are never on the hull
    corners = np.concatenate([np.stack([y + i, x + j], axis=1) for i in (0, 1) for j in (0, 1)])
    return float(mask.sum() / ConvexHull(corners).volume)
