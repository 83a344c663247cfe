"""Conformal risk control: the smallest q at which new images lose, on average, no more than was asked for.

The loss of image i at q, 0 to 1, does not rise with q; here it is a share of pixels whose score is greater than q. Over n
images that were not trained on, and one more that comes from where they came, q̂ = the smallest q with

    Σ_i loss_i(q) + 1 ≤ (n + 1)(1 − coverage)

has an expected loss of at most 1 − coverage on the one more (Angelopoulos, Bates, Fisch, Lei, Schuster 2022,
arXiv:2208.02814). Images are exchanged, not pixels, which depend on each other. A coverage above n/(n + 1) cannot be had.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEAST, MOST = 50, 99
"""Coverages for which factors are kept, percent."""
PIECES = 8192
"""Scores that are kept of an image: of more, each is the greatest of as many neighbours in order, so that the loss is never
too small, nor too large by more than one part in this."""


@dataclass(frozen=True, eq=False)
class Loss:
    """What an image loses at q: the share of its pixels with a score greater than q."""

    scores: Float[np.ndarray, " m"]
    """Rising."""
    beyond: Float[np.ndarray, " m+1"]
    """Loss where 0, 1, …, m of the scores are at most q."""

    @classmethod
    def of(cls, scores: Float[np.ndarray, "*any"], size: int | None = None) -> "Loss":
        """Of scores of any shape. size: pixels that are worth a loss of 1, default the number of scores; the loss stays 1
        where there are more."""
        size = scores.size if size is None else size
        falling = np.sort(scores, axis=None)[::-1][:size]
        block = max(1, -(-size // PIECES))
        kept = falling[::block][::-1]
        losses = np.minimum(block * np.arange(len(kept), 0, -1), falling.size) / max(size, 1)
        return cls(np.ascontiguousarray(kept, np.float64), np.append(losses, 0.0))

    def at(self, q: float) -> float:
        """0 to 1."""
        return float(self.beyond[np.searchsorted(self.scores, q, side="right")])


class RiskControl:
    """The losses of n images, and which q they ask for."""

    def __init__(self, losses: Sequence[Loss]):
        self._losses = tuple(losses)
        scores = np.concatenate([np.zeros(0), *(loss.scores for loss in losses)])
        weights = np.concatenate([np.zeros(0), *(-np.diff(loss.beyond) for loss in losses)])
        order = np.argsort(scores, kind="stable")
        self._scores = scores[order]
        self._beyond = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)

    def smallest(self, percent: int) -> float:
        """q̂ of a coverage of so many percent, 0 or more; infinite where no number is large enough.

        Raises ValueError for a coverage that needs more images.
        """
        return self._at_most(_most(percent, len(self._losses)))

    def plain(self, percent: int) -> float:
        """The smallest q at which these images themselves are covered so far, without any guarantee."""
        return self._at_most((100 - percent) / 100 * len(self._losses))

    def held_out(self, percent: int) -> float:
        """Mean coverage of each image at the q̂ of all others. Raises ValueError for too few images."""
        most = _most(percent, len(self._losses) - 1)
        return 1 - float(np.mean([loss.at(self._without(loss, most)) for loss in self._losses]))

    def _at_most(self, loss: float) -> float:
        """The smallest q at which all losses together are no more."""
        return self._q(len(self._beyond) - int(np.searchsorted(self._beyond[::-1], loss, side="right")))

    def _without(self, left_out: Loss, most: float) -> float:
        def enough(place: int) -> bool:
            q = self._q(place)
            all_losses = self._beyond[np.searchsorted(self._scores, q, side="right")]
            return bool(all_losses - left_out.at(q) <= most)

        return self._q(bisect.bisect_left(range(len(self._scores)), True, key=enough))

    def _q(self, place: int) -> float:
        return max(0.0, float(self._scores[place - 1])) if place else 0.0


def images_for(percent: int) -> int:
    """Images, at least, that a coverage of so many percent needs."""
    return -(-percent // (100 - percent))


def highest_percent(images: int) -> int:
    """The highest coverage that so many images allow, in whole percent, up to `MOST`."""
    return min(MOST, 100 * images // (images + 1))


def percent_of(coverage: float) -> int:
    """A coverage in whole percent, the next higher one. Raises ValueError for what is none."""
    percent = math.ceil(round(100 * coverage, 6)) if 0 < coverage < 1 else 0
    if not 0 < percent <= MOST:
        raise ValueError(
            f"got coverage={coverage}; expected a share above 0 and up to {MOST / 100}; to fix: coverage=0.9"
        )
    return max(percent, LEAST)


def _most(percent: int, images: int) -> float:
    """Sum of the losses of the images, at most, for a coverage of so many percent."""
    if (images + 1) * (100 - percent) < 100:
        raise ValueError(
            f"got {images} images for a coverage of {percent} %; expected {images_for(percent)} or more; to fix: hold more "
            "images out, or a lower coverage"
        )
    return ((images + 1) * (100 - percent) - 100) / 100 + 1e-9 * images
