"""Rings (shells in 3-D) of equal spatial frequency, and the taper that keeps the image's edges out of its spectrum."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

EDGE = 1e-9  # so that a ring at the Nyquist frequency is not lost to rounding


class Rings(NamedTuple):
    """R rings, each as wide as the frequency step of the shortest axis, up to the lowest Nyquist frequency of any axis.

    Ring 0, the mean, is left out.
    """

    index: Int[np.ndarray, "*spatial"]
    """Ring of each coefficient of `numpy.fft.fftn`, 1 .. R; 0 = the mean, R + 1 = beyond the last ring."""
    frequency: Float[np.ndarray, " R"]
    """Cycles per unit of length at the middle of the ring."""
    counts: Int[np.ndarray, " R"]
    """Coefficients in the ring; the two of each conjugate pair both count."""

    def sums(self, values: np.ndarray) -> Float[np.ndarray, " R"]:
        """The sum over each ring of real values (*spatial)."""
        return np.bincount(self.index.ravel(), values.ravel(), minlength=len(self.counts) + 2)[1:-1]


def rings(shape: Sequence[int], pixel_size: Sequence[float]) -> Rings:
    """The rings of images of a shape (*spatial) whose pixels have this size along each axis."""
    sizes = np.asarray(pixel_size, np.float64)
    width = np.max(1 / (np.array(shape) * sizes))
    number = int(np.floor(np.min(0.5 / sizes) / width + EDGE))
    axes = [np.fft.fftfreq(n, size) for n, size in zip(shape, sizes, strict=True)]
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij", sparse=True)))
    index = np.minimum(np.rint(frequency / width).astype(np.intp), number + 1)
    counts = np.bincount(index.ravel(), minlength=number + 2)[1:-1]
    return Rings(index, width * np.arange(1, number + 1), counts)


def taper(shape: Sequence[int], share: float) -> Float[np.ndarray, "*spatial"]:
    """Tukey's window: 1 inside, falling as a cosine to 0 over share/2 of each axis at each end; share = 1 is Hann's."""
    window = np.ones(())
    for n in shape:
        place = (np.arange(n) + 0.5) / n
        edge = 2 * np.minimum(place, 1 - place)
        inside = edge >= share
        window = np.multiply.outer(window, np.where(inside, 1.0, 0.5 - 0.5 * np.cos(np.pi * edge / max(share, EDGE))))
    return window
