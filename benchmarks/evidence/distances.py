"""Distances between weighted sets, one value a row of weights, and the bootstrap that draws such weights."""

import numpy as np


def bootstrap_weights(groups: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (1 + draws, N): row 0 all ones, then how often each member's group is drawn with replacement.

    Members of a group (crops of a well) come and go together (Davison & Hinkley 1997, section 3.8).
    """
    names, index = np.unique(groups, return_inverse=True)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.concatenate([np.ones((1, len(groups))), times[:, index]])


def wasserstein1(x: np.ndarray, y: np.ndarray, x_weights: np.ndarray, y_weights: np.ndarray) -> np.ndarray:
    """W1 (B,) between numbers x (N,) and y (M,) with weights (B, N) and (B, M), in the unit of x.

    The area between the two distribution functions, exact for weighted samples. NaN where a side has no weight.
    """
    values = np.concatenate([x, y])
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    total = np.zeros(len(x_weights))
    for b, (wx, wy) in enumerate(zip(x_weights, y_weights)):
        if not (wx.sum() > 0 and wy.sum() > 0):
            total[b] = np.nan
            continue
        difference = np.concatenate([wx / wx.sum(), -wy / wy.sum()])[order]
        total[b] = np.abs(np.cumsum(difference)[:-1]) @ gaps
    return total


def histogram_w1(x: np.ndarray, y: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """W1 (B,) between histograms (B, V) over rising positions (V,), each taken as a distribution."""
    difference = x / x.sum(axis=1, keepdims=True) - y / y.sum(axis=1, keepdims=True)
    return np.abs(np.cumsum(difference, axis=1)[:, :-1]) @ np.diff(positions)


def radial_power(z: np.ndarray) -> np.ndarray:
    """Power of each crop (N, Y, Y) in rings of radius 1 .. Y/2 cycles a crop: (N, Y/2), mean over a ring.

    Under a Hann window of mean square 1: without it the step between opposite edges hides the camera's noise (6 dB
    too much at the highest rings of BBBC039).
    """
    size = z.shape[-1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    window = np.outer(hann, hann)
    window = (window / np.sqrt(np.mean(window**2))).astype(z.dtype)
    power = np.abs(np.fft.fft2(z * window)) ** 2 / size**2
    cycles = np.fft.fftfreq(size) * size
    ring = np.rint(np.hypot(cycles[:, None], cycles[None])).astype(int)
    return np.stack([power[:, ring == r].mean(axis=1) for r in range(1, size // 2 + 1)], axis=1)


def log_spectrum_rms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Root mean square over rings of the ratio of mean powers (B, R), in decibels: (B,)."""
    return np.sqrt(np.mean((10 * np.log10(x / y)) ** 2, axis=1))


def quantile(x: np.ndarray, weights: np.ndarray, q: float) -> np.ndarray:
    """The smallest of the numbers x (N,) with at least a share q of the weight (B, N) at or below it: (B,)."""
    order = np.argsort(x, kind="stable")
    below = np.cumsum(weights[:, order], axis=1)
    return x[order][np.argmax(below >= q * below[:, -1:] * (1 - 1e-12), axis=1)]
