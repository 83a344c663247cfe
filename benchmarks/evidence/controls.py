"""Images that are wrong in a known way: a measure that does not tell them from real ones proves nothing alone."""

import numpy as np
from scipy import ndimage


def phase_randomised(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crops (N, Y, X) with the power spectrum of each kept and its phases random: texture without nuclei.

    Each crop is mirrored to 2Y x 2X first, so that opposite edges meet and no step between them is spread over the
    crop as noise (Moisan, J. Math. Imaging Vis. 2011, names the step); the first quarter is returned.
    """
    height, width = z.shape[1:]
    return _scrambled(mirrored(z), rng)[:, :height, :width]


def mirrored(z: np.ndarray) -> np.ndarray:
    """(N, Y, X) -> (N, 2Y, 2X), periodic without a step."""
    z = np.concatenate([z, z[:, ::-1]], axis=1)
    return np.concatenate([z, z[:, :, ::-1]], axis=2)


def _scrambled(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Same amplitudes, the phases of white noise; the mean is kept with its sign (Galerne et al., IEEE TIP 2011)."""
    noise = np.fft.rfft2(rng.standard_normal(z.shape))
    noise[:, 0, 0] = 1.0
    spectrum = np.fft.rfft2(z) * noise / np.abs(noise)
    return np.fft.irfft2(spectrum, s=z.shape[1:]).astype(np.float32)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Crops (N, Y, X) smoothed by a Gaussian of `sigma` pixels: no noise, no sharp edge."""
    return ndimage.gaussian_filter(images.astype(np.float64), (0, sigma, sigma))


def repeated(num: int, distinct: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (num,) of `distinct` crops out of `num`, each over and over: a generator that has learned a few by heart."""
    return np.resize(rng.choice(num, size=distinct, replace=False), num)
