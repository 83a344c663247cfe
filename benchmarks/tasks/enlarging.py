"""Super-resolution without a network: total variation on the recording, a cubic spline, then Richardson-Lucy steps.

The steps undo blur and binning of what is left (Richardson, J. Opt. Soc. Am. 62, 1972, doi:10.1364/JOSA.62.000055; Lucy,
Astron. J. 79, 1974, doi:10.1086/111605): light is multiplied by Hᵀ(y / H light), H the blur and the mean over pixels
and Hᵀ1 = 1 where the adjoint is scaled by the pixels of a bin.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from benchmarks.tasks import denoising_baselines, exposure
from jaxdiff.data.pairing import spread
from jaxdiff.data.pairs import SuperResolution
from jaxdiff.physics.binning import area_binning
from jaxdiff.physics.blur import gaussian_blur

LEAST = 1e-3
"""Photons below which light is not divided by."""


@dataclass(frozen=True)
class Enlarging:
    """Total variation of this weight where the noise has size 1, then so many steps."""

    weight: float = 1.0
    iterations: int = 10


CANDIDATES = [
    Enlarging(weight, n) for weight, n in itertools.product((0.3, 0.5, 0.7, 1.0, 1.4, 2.0), (0, 2, 5, 10, 20))
]
"""What is tried on dev."""


def spline(coarse: np.ndarray, factor: Sequence[int]) -> np.ndarray:
    """(Y, X) -> (Y, X) times factor, by a cubic spline through the centres of pixels."""
    fine = ndimage.zoom(coarse.astype(np.float64), factor, order=3, mode="reflect", grid_mode=True)
    return np.asarray(fine, np.float32)


def restore(how: Enlarging, pairs: SuperResolution, photons: int, coarse: np.ndarray) -> np.ndarray:
    """The field (Y, X) behind a recording of larger pixels, in its grey levels, float32."""
    camera = exposure.camera(pairs, photons)
    smooth = denoising_baselines.denoise(denoising_baselines.TotalVariation(how.weight), camera, coarse)
    fine = spline(smooth, pairs.factor)
    if not how.iterations:
        return fine

    def photons_of(levels: np.ndarray) -> np.ndarray:
        return np.maximum((levels[..., None] - camera.offset) / camera.gain, LEAST)

    smooth_light, light = photons_of(smooth), photons_of(fine)
    for _ in range(how.iterations):
        expected = np.maximum(area_binning(gaussian_blur(light, pairs.psf), pairs.factor), LEAST)
        light = light * gaussian_blur(spread(smooth_light / expected, fine.shape), pairs.psf)
    return (camera.offset + camera.gain * light[..., 0]).astype(np.float32)
