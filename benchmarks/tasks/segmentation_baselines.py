"""Otsu's threshold and a watershed of the distance transform: what most users of such images take first.

Otsu, IEEE Trans. Systems, Man, and Cybernetics 9 (1979), doi:10.1109/TSMC.1979.4310076; Malpica et al., Cytometry 28
(1997), doi:10.1002/(SICI)1097-0320(19970801)28:4<289::AID-CYTO3>3.0.CO;2-7; as CellProfiler's IdentifyPrimaryObjects
and scikit-image's own example do it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from benchmarks.tasks.fields import Field


@dataclass(frozen=True)
class OtsuWatershed:
    """Smooth, threshold each field by Otsu, fill holes, split by a watershed of the distance to the background."""

    smooth: float = 1.0
    """Standard deviation, in pixels, of the Gaussian before the threshold."""
    scale: Literal["linear", "log"] = "linear"
    """Intensities in which Otsu's variances are taken."""
    factor: float = 1.0
    """The threshold stands at this fraction of Otsu's, counted from the median of what lies below it."""
    least: float = 20.0
    """But no fewer grey levels above that median: Otsu splits a field without nuclei into noise and noise."""
    seed_smooth: float = 1.0
    """Standard deviation, in pixels, of the Gaussian over the distance map."""
    seeds: Literal["distance", "height"] = "distance"
    """A seed is the highest point within `apart` pixels, or a top that stands `apart` above its surroundings."""
    apart: float = 7.0
    """In pixels, for both kinds of seeds."""
    min_area: int = 30
    """Smaller objects, in pixels, are left out."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Labels (Y, X) int32, 1..K and 0 = background."""
        return self.split(self.foreground(image))

    def foreground(self, image: np.ndarray) -> np.ndarray:
        """Where the smoothed image exceeds the threshold, holes filled."""
        from skimage.filters import threshold_otsu  # pyright: ignore[reportMissingImports]: benchmarks/requirements.txt

        smooth = ndimage.gaussian_filter(image.astype(np.float64), self.smooth)
        values = np.log(smooth) if self.scale == "log" else smooth
        otsu = threshold_otsu(values)
        background = np.median(values[values <= otsu])
        level, floor = background + self.factor * (otsu - background), background
        if self.scale == "log":
            level, floor = np.exp(level), np.exp(floor)
        return np.asarray(ndimage.binary_fill_holes(smooth > max(level, floor + self.least)))

    def split(self, foreground: np.ndarray) -> np.ndarray:
        """Touching objects apart."""
        from skimage.segmentation import watershed  # pyright: ignore[reportMissingImports]

        distance = np.asarray(ndimage.distance_transform_edt(foreground), np.float32)
        height = ndimage.gaussian_filter(distance, self.seed_smooth)
        labels = watershed(-height, self._tops(height, foreground), mask=foreground)
        area = np.bincount(labels.ravel())
        keep = area >= self.min_area
        keep[0] = False
        return (np.cumsum(keep) * keep)[labels].astype(np.int32)

    def _tops(self, height: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        if self.seeds == "distance":
            side = 2 * round(self.apart) + 1
            tops = foreground & (height == ndimage.maximum_filter(height, size=side))
        else:
            from skimage.morphology import reconstruction  # pyright: ignore[reportMissingImports]

            lowered = reconstruction(height - self.apart, height)
            tops = foreground & (height - lowered >= self.apart * (1 - 1e-6))
        seeds = np.zeros(height.shape, np.int32)
        ndimage.label(tops, structure=np.ones((3, 3)), output=seeds)
        return seeds


THRESHOLDS = tuple(
    {"smooth": smooth, "scale": scale, "factor": factor}
    for smooth, scale, factor in itertools.product(
        (0.0, 0.5, 1.0, 2.0), ("linear", "log"), (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1)
    )
)
SEEDS = tuple(
    {"seed_smooth": smooth, "seeds": seeds, "apart": apart}
    for smooth, (seeds, apart) in itertools.product(
        (0.0, 1.0, 1.5, 2.0),
        [("distance", d) for d in (5.0, 8.0, 11.0, 15.0)] + [("height", h) for h in (0.35, 0.5, 0.75, 1.0, 1.5, 2.0)],
    )
)
AREAS = tuple({"min_area": area} for area in (10, 20, 30, 50, 70, 100))
LEAST = tuple({"least": least} for least in (0.0, 10.0, 20.0, 40.0, 80.0))
SWEEPS = (THRESHOLDS, SEEDS, AREAS, LEAST, THRESHOLDS, SEEDS)

Score = Callable[[np.ndarray, np.ndarray], float]


def choose(
    fields: Sequence[Field], score: Score, bar: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> tuple[OtsuWatershed, float, list[dict[str, Any]]]:
    """The best method for the mean of score(mask, labels) over fields, its mean, and all that were tried.

    One group of parameters after the other is tried in full with the others fixed, twice over.
    """
    best, top, tried = OtsuWatershed(), -np.inf, []
    for sweep in SWEEPS:
        foregrounds: dict[tuple[Any, ...], list[np.ndarray]] = {}
        for changed in bar(sweep):
            how = dataclasses.replace(best, **changed)
            key = how.smooth, how.scale, how.factor, how.least
            if key not in foregrounds:
                foregrounds = {key: [how.foreground(field.image) for field in fields]}
            predicted = [how.split(foreground) for foreground in foregrounds[key]]
            mean = float(np.mean([score(field.mask, labels) for field, labels in zip(fields, predicted)]))
            tried.append({**dataclasses.asdict(how), "score": mean})
        winner = max(tried, key=lambda row: row["score"])
        top = winner["score"]
        best = OtsuWatershed(**{field.name: winner[field.name] for field in dataclasses.fields(OtsuWatershed)})
    return best, top, tried
