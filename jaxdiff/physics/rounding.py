"""What rounding to whole grey levels does to a camera's variance.

Beside smooth noise of half a grey level or more, rounding adds 1/12 grey level² (Sheppard's correction). Electrons times
gain are not smooth: what is added is then anything from all of the noise, taken away, to a quarter of a grey level² and
more, and the mean moves, too (Widrow & Kollár 2008, Quantization Noise, ch. 4). Here both are summed over the Poisson law.
"""

import functools

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from jaxdiff.physics.camera import Camera

SHEPPARD = 1 / 12
"""Variance that rounding adds to smooth noise (grey levels²)."""
ROUGH = 0.25
"""Variance (grey levels²) below which a normal distribution is not smooth beside whole numbers."""
COUNTS = 100.0
"""Electrons up to which the Poisson law is summed; with more it is taken as normal until that is smooth."""
NORMAL = special.ndtri((np.arange(200) + 0.5) / 200)
NORMAL /= NORMAL.std()
"""Equally likely values of a normal distribution."""


def rounded_variance(camera: Camera, grey: ArrayLike) -> Float[np.ndarray, "..."]:
    """Variance (grey levels²) of rounded pixels whose mean, of the rounded ones, is `grey`; beside `Camera.variance`."""
    gain, offset, read = camera.gain, camera.offset, camera.gain * camera.read_noise
    if read**2 >= ROUGH:
        return camera.variance(grey) + SHEPPARD
    counts, chances = _poisson()
    smooth = 2 * ROUGH / gain**2
    many = np.geomspace(1.05 * COUNTS, smooth, 24 if smooth > COUNTS else 0)[:, None]
    levels = np.rint(offset + gain * counts[:, None] + read * (NORMAL if read else np.zeros(1))) - offset
    normal = np.rint(offset + gain * many + np.hypot(gain * np.sqrt(many), read) * NORMAL) - offset
    mean, square = (np.append(chances @ (levels**k).mean(1), (normal**k).mean(1)) for k in (1, 2))
    added = square - mean**2 - gain * mean - read**2
    if len(many):
        added[-1] = SHEPPARD
    light = np.maximum(np.asarray(grey, np.float64) - offset, mean[0])
    return gain * light + read**2 + np.interp(light, mean, added)


@functools.cache
def _poisson() -> tuple[np.ndarray, np.ndarray]:
    """Counts, and how likely each is for expected electrons from 0 to COUNTS."""
    electrons = np.append(0.0, np.geomspace(0.02, COUNTS, 40))
    counts = np.arange(COUNTS + 8 * np.sqrt(COUNTS) + 8)
    log = special.xlogy(counts, electrons[:, None]) - electrons[:, None] - special.gammaln(counts + 1)
    return counts, np.exp(log)
