"""The size of objects: what training images are resampled to, so that one network serves any magnification."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from jaxdiff.data.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ObjectSize:
    """Fields are resampled to objects of one diameter, times a random factor for each patch.

    A field without objects keeps its pixels. In use an image is resampled alike, by its diameter, and results come back on
    its own pixels.
    """

    diameter: float | None = None
    """Median diameter of a field's objects, in pixels, after resampling; none: fields keep theirs."""
    factors: tuple[float, float] = (1.0, 1.0)
    """Least and largest of the random factor, log-uniform."""

    def __post_init__(self):
        if self.diameter is not None and not 2 <= self.diameter < np.inf:
            raise DataError(f"diameter={self.diameter}", "2 pixels or more", "20 suits nuclei")
        if len(self.factors) != 2 or not 0 < self.factors[0] <= self.factors[1] < np.inf:
            raise DataError(f"factors={self.factors}", "least and largest, above 0", "factors=(0.75, 1.33)")

    def factor(self, mask: Int[np.ndarray, "*field"] | None) -> float:
        """Pixels of the resampled field for one of a field with this mask."""
        diameter = None if mask is None or self.diameter is None else median_diameter(mask)
        return 1.0 if diameter is None or self.diameter is None else self.diameter / diameter

    def drawn(self, rng: np.random.Generator) -> float:
        """A random factor."""
        low, high = np.log(self.factors)
        return float(np.exp(rng.uniform(low, high)))


def median_diameter(mask: Int[np.ndarray, "y x"]) -> float | None:
    """The median over the objects of a mask of the diameter of a disc of equal area, in pixels; None without objects.

    Objects at the edge of the image, of which a part is seen, count only where there are no others.
    """
    areas = whole_areas(mask)
    if not areas.size:
        areas = np.unique(mask[mask > 0], return_counts=True)[1]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else None


def whole_areas(mask: Int[np.ndarray, "y x"]) -> Int[np.ndarray, " objects"]:
    """Pixels of each object of a mask that the edge of the image does not cut."""
    labels, areas = np.unique(mask, return_counts=True)
    edge = np.concatenate([side.ravel() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])])
    return areas[(labels > 0) & ~np.isin(labels, np.unique(edge))]
