"""Are two sets of images alike? Distances between their features (N, d) and (M, d).

Every result holds both counts: all of these depend on them, most of all the Fréchet distance, which is biased upwards
by few samples. Compare only with the same counts, and show beside it the distance between two halves of the reference.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from jaxdiff.metrics.features import Features, spectrum_and_quantiles, standardise
from jaxdiff.metrics.paired import finite

BLOCKS = 10
CHUNK = 1024


class Frechet(NamedTuple):
    """Squared Fréchet distance of two sets."""

    distance: float
    reference: int
    """Images in the set."""
    generated: int


class KernelDistance(NamedTuple):
    """Squared maximum mean discrepancy of two sets."""

    distance: float
    standard_error: float
    reference: int
    """Images in the set."""
    generated: int


class PrecisionRecall(NamedTuple):
    """Shares of each set that lie within the other's manifold."""

    precision: float
    """Of the generated set: is it real?"""
    recall: float
    """Of the reference: is it covered?"""
    reference: int
    """Images in the set."""
    generated: int


class SetComparison(NamedTuple):
    """All distances of one pair of sets."""

    frechet: Frechet
    kernel: KernelDistance
    precision_recall: PrecisionRecall


def compare_sets(
    reference: ArrayLike, generated: ArrayLike, features: Features = spectrum_and_quantiles
) -> SetComparison:
    """All distances between images (N, *spatial, C) and (M, *spatial, C), in features standardised by the reference.

    `features` may be any function of images that gives (N, d); `alexnet_features` is one.
    """
    x, y = standardise(*_two(features(np.asarray(reference)), features(np.asarray(generated))))
    return SetComparison(frechet_distance(x, y), kernel_distance(x, y), precision_recall(x, generated=y))


def frechet_distance(reference: ArrayLike, generated: ArrayLike) -> Frechet:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of features (N, d) and (M, d): that of the Gaussians they would be.

    With Inception features this is called FID (Heusel et al. 2017, arXiv:1706.08500). With fewer samples than
    features it still exists, but is mostly bias.

    Raises ValueError for other shapes, fewer than 2 samples, or values that are not finite.
    """
    x, y = _two(reference, generated)
    # (Σ₁Σ₂)^½ has the trace of the singular values of R₁R₂ᵀ with Σ = RᵀR, which needs no root of a singular matrix.
    roots = [(z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y)]
    small = [np.asarray(np.linalg.qr(r, mode="r")) for r in roots]
    cross = np.linalg.svd(small[0] @ small[1].T, compute_uv=False).sum()
    apart = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    spread = sum(np.sum(r**2) for r in roots)
    return Frechet(float(max(apart + spread - 2 * cross, 0.0)), len(x), len(y))


def kernel_distance(reference: ArrayLike, generated: ArrayLike, blocks: int = BLOCKS) -> KernelDistance:
    """Unbiased squared MMD of features (N, d) and (M, d) with the kernel (x·y/d + 1)³; below 0 by chance.

    With Inception features this is called KID (Binkowski et al. 2018, arXiv:1801.01401). Its standard error is the
    jackknife's over `blocks` runs of consecutive samples of both sets, so keep related images (crops of one field)
    together, and classes mixed. Where the sets are alike it errs on the large side.

    Raises ValueError for other shapes, fewer than 2 samples a block, or values that are not finite.
    """
    x, y = _two(reference, generated)
    if blocks < 2 or min(len(x), len(y)) < 2 * blocks:
        raise ValueError(
            f"got {len(x)} and {len(y)} samples for {blocks} blocks; expected at least 2 blocks with 2 samples each; "
            f"to fix: blocks={max(2, min(len(x), len(y)) // 2)}, or more samples"
        )
    parts = [np.array_split(z, blocks) for z in (x, y)]
    within = [np.array([[_kernel(a, b, a is b) for b in part] for a in part]) for part in parts]
    between = np.array([[_kernel(a, b) for b in parts[1]] for a in parts[0]])
    sizes = [np.array([len(a) for a in part], np.float64) for part in parts]

    def mmd2(weights: np.ndarray) -> float:
        n, m = weights @ sizes[0], weights @ sizes[1]
        same = (weights @ within[0] @ weights) / (n * (n - 1)) + (weights @ within[1] @ weights) / (m * (m - 1))
        return float(same - 2 * (weights @ between @ weights) / (n * m))

    without = np.array([mmd2(weights) for weights in 1.0 - np.eye(blocks)])
    error = np.sqrt((blocks - 1) * np.mean((without - without.mean()) ** 2))
    return KernelDistance(mmd2(np.ones(blocks)), float(error), len(x), len(y))


def precision_recall(reference: ArrayLike, generated: ArrayLike, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall of features (N, d) and (M, d).

    A set's manifold is the union of balls around its samples, each as large as the distance to the sample's k-th
    nearest neighbour in the set. Precision is the share of generated samples in the reference's manifold, recall the
    share of the reference in that of the generated. Kynkäänniemi et al. 2019, arXiv:1904.06991.

    Raises ValueError for other shapes, no more samples than neighbours, or values that are not finite.
    """
    x, y = _two(reference, generated)
    if not 1 <= neighbours < min(len(x), len(y)):
        raise ValueError(
            f"got {len(x)} and {len(y)} samples for {neighbours} neighbours; expected more samples than neighbours, "
            "and at least 1 neighbour; to fix: more samples"
        )
    return PrecisionRecall(_inside(y, x, neighbours), _inside(x, y, neighbours), len(x), len(y))


def _inside(samples: np.ndarray, centres: np.ndarray, neighbours: int) -> float:
    """Share of samples in the manifold of `centres`."""
    inside = np.zeros(len(samples), bool)
    for start in range(0, len(centres), CHUNK):
        some = centres[start : start + CHUNK]
        # The nearest of all is the centre itself.
        radius = np.partition(cdist(some, centres), neighbours, axis=1)[:, neighbours]
        inside |= (cdist(some, samples) <= radius[:, None]).any(axis=0)
    return float(inside.mean())


def _kernel(x: np.ndarray, y: np.ndarray, same: bool = False) -> float:
    """Sum of the kernel over all pairs; of a sample with itself it does not count."""
    values = (x @ y.T / x.shape[1] + 1) ** 3
    return float(values.sum() - (np.trace(values) if same else 0.0))


def _two(reference: ArrayLike, generated: ArrayLike) -> tuple[Float[np.ndarray, "N d"], Float[np.ndarray, "M d"]]:
    x, y = finite(reference, "reference features"), finite(generated, "generated features")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"got features of shapes {x.shape} and {y.shape}; expected (N, d) and (M, d) with at least 2 samples each; "
            "to fix: make them with one feature function from images of one shape"
        )
    return x, y
