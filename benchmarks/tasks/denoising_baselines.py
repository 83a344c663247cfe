"""A generalised Anscombe transform around a denoiser of Gaussian noise: non-local means, or total variation.

The transform makes photon and read noise nearly of size 1; what is denoised there goes back by the exact unbiased
inverse (Mäkitalo & Foi, IEEE TIP 22, 2013, doi:10.1109/TIP.2012.2202675), not by the algebraic one, which is too dark
at few photons.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdiff.physics.camera import Camera


@dataclass(frozen=True)
class NonLocalMeans:
    """Non-local means (Buades, Coll & Morel, CVPR 2005, doi:10.1109/CVPR.2005.38), told that the noise has size 1."""

    strength: float = 0.6
    """The cut-off distance h of patches, in standard deviations of the noise."""
    patch: int = 5
    """Side of a patch in pixels."""
    reach: int = 9
    """Farthest patch that is compared, in pixels along y and x."""

    def __call__(self, stable: np.ndarray) -> np.ndarray:
        """An image with noise of size 1 -> the same denoised."""
        from skimage.restoration import denoise_nl_means  # pyright: ignore[reportMissingImports]: requirements.txt

        how: dict[str, Any] = {"patch_size": self.patch, "patch_distance": self.reach, "fast_mode": True}
        return denoise_nl_means(stable, h=self.strength, sigma=1.0, **how)


@dataclass(frozen=True)
class TotalVariation:
    """Total variation (Rudin, Osher & Fatemi, Physica D 60, 1992), minimised after Chambolle (JMIV 20, 2004)."""

    weight: float = 1.0
    """Weight of the total variation against the data, where the noise has size 1."""

    def __call__(self, stable: np.ndarray) -> np.ndarray:
        """An image with noise of size 1 -> the same denoised."""
        from skimage.restoration import denoise_tv_chambolle  # pyright: ignore[reportMissingImports]

        return denoise_tv_chambolle(stable, weight=self.weight, eps=1e-6, max_num_iter=500)


Gaussian = NonLocalMeans | TotalVariation
METHODS: dict[str, type[Gaussian]] = {"nlm": NonLocalMeans, "tv": TotalVariation}
CANDIDATES: dict[str, Sequence[Gaussian]] = {
    "nlm": [
        NonLocalMeans(h, patch, reach)
        for (patch, reach), h in itertools.product(((7, 11), (9, 13), (11, 15), (13, 17)), (0.4, 0.5, 0.6, 0.7, 0.8))
    ],
    "tv": [TotalVariation(weight) for weight in (0.5, 0.7, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0)],
}
"""What is tried on dev."""


def denoise(method: Gaussian, camera: Camera, noisy: np.ndarray) -> np.ndarray:
    """A recording (Y, X) denoised, in its grey levels, float32."""
    return camera.inverse_anscombe(method(camera.generalised_anscombe(noisy))).astype(np.float32)


def choose(
    candidates: Sequence[Any],
    restore: Callable[[Any, np.ndarray], np.ndarray],
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    score: Callable[[np.ndarray, np.ndarray], float],
    bar: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> tuple[Any, float, list[dict[str, Any]]]:
    """The candidate of the highest mean of score(truth, restore(candidate, noisy)) over (truth, noisy) pairs, that mean,
    all tried (dataclasses of numbers)."""
    tried = []
    for method in bar(candidates):
        mean = float(np.mean([score(truth, restore(method, noisy)) for truth, noisy in pairs]))
        tried.append({**dataclasses.asdict(method), "score": mean})
    best = int(np.argmax([row["score"] for row in tried]))
    return candidates[best], tried[best]["score"], tried
