"""The camera: Poisson-Gaussian noise, its variance, and the transform that makes that variance one.

1. grey = offset + gain (min(k, full well) + n),  k ~ Poisson(S),  n ~ N(0, read_noise²),  S = expected electrons
2. E[grey] = offset + gain S,  Var[grey] = gain² (S + read_noise²)                         (below the full well)
3. With e = (grey - offset) / gain, f(e) = 2 sqrt(max(e + 3/8 + read_noise², 0)) has variance near 1 whatever S
   (Murtagh, Starck and Bijaoui 1995; Starck, Murtagh and Bijaoui 1998).
4. f is concave: the algebraic inverse of a mean of f lies below S. The exact unbiased inverse is that of the
   function S -> E[f(e) | S] (Mäkitalo and Foi 2013, doi:10.1109/TIP.2012.2202675).
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

TABLE_ELECTRONS = 100.0
"""Above this (4) is f²/4 - 1/8 - read_noise², its limit for much light: 3e-4 electrons off at worst there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """Poisson-Gaussian noise of a CCD or sCMOS camera; what it records is neither rounded nor kept above zero.

    Raises ValueError at construction for a value without physical meaning.
    """

    gain: float = 1.0
    """Grey levels per electron."""
    offset: float = 0.0
    """Grey level without light."""
    read_noise: float = 0.0
    """Standard deviation of the read noise (electrons)."""
    full_well: float | None = None
    """Electrons at which a pixel saturates; None: never."""

    def __post_init__(self):
        for name in ("gain", "full_well"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"got {name}={value}; expected a positive number; to fix: raise it")
        if not 0 <= self.read_noise < np.inf:
            raise ValueError(f"got read_noise={self.read_noise}; expected 0 or more; to fix: read_noise=0.0")
        if not np.isfinite(self.offset):
            raise ValueError(f"got offset={self.offset}; expected a finite number; to fix: offset=0.0")

    def record(self, rng: np.random.Generator, electrons: ArrayLike) -> Float[np.ndarray, "..."]:
        """One recording, in grey levels, float32, of pixels that expect `electrons`.

        Raises ValueError for negative, infinite or NaN electrons.
        """
        electrons = np.asarray(electrons)
        least, most = (float(f(electrons, initial=0.0)) for f in (np.min, np.max))
        if not (least >= 0 and most < np.inf):
            raise ValueError(
                f"got expected electrons from {least:g} to {most:g}; expected finite numbers, 0 or more; "
                "to fix: subtract the offset and set what lies below it to 0"
            )
        levels = rng.poisson(electrons).astype(np.float32)
        if self.full_well is not None:
            levels = np.minimum(levels, np.float32(self.full_well))
        if self.read_noise:
            levels += np.float32(self.read_noise) * rng.standard_normal(levels.shape, np.float32)
        return np.float32(self.offset) + np.float32(self.gain) * levels

    def variance(self, grey: ArrayLike) -> Float[np.ndarray, "..."]:
        """Variance (grey levels²) of pixels whose mean is `grey`, (2); a mean below the offset counts as no light.

        Of a saturating pixel the variance is less; saturation is not taken into account.
        """
        return self.gain**2 * (np.maximum(self._electrons(grey), 0) + self.read_noise**2)

    def generalised_anscombe(self, grey: ArrayLike) -> Float[np.ndarray, "..."]:
        """Grey levels to numbers of standard deviation near 1, (3), float64.

        The deviation is within 5 % of 1 from 3 electrons on, read noise included; without light and read noise it is 0.
        """
        return 2 * np.sqrt(np.maximum(self._electrons(grey) + 3 / 8 + self.read_noise**2, 0))

    def inverse_anscombe(self, mean: ArrayLike) -> Float[np.ndarray, "..."]:
        """Grey level of which `mean` is the expected transform: the exact unbiased inverse (4), float64.

        For denoised transforms, which estimate means; recordings have `generalised_anscombe` undone by its algebraic
        inverse. What is below the transform of no light gives the offset.
        """
        mean = np.asarray(mean, np.float64)
        means, electrons = _expected_transform(float(self.read_noise))
        bright = mean**2 / 4 - 1 / 8 - self.read_noise**2
        dim = np.interp(mean, means, electrons)
        return self.offset + self.gain * np.where(mean > means[-1], bright, dim)

    def _electrons(self, grey: ArrayLike) -> np.ndarray:
        return (np.asarray(grey, np.float64) - self.offset) / self.gain


@functools.lru_cache(maxsize=16)
def _expected_transform(read_noise: float) -> tuple[np.ndarray, np.ndarray]:
    """E[f(e) | S], rising, and the S it belongs to, from 0 to TABLE_ELECTRONS; S is uniform in its square root."""
    electrons = np.linspace(0, np.sqrt(TABLE_ELECTRONS), 4001) ** 2
    counts = np.arange(int(TABLE_ELECTRONS + 10 * np.sqrt(TABLE_ELECTRONS)) + 1.0)
    # f has a kink where it ends at 0: many equal steps over the normal distribution, rather than Gauss-Hermite points.
    steps = np.linspace(-8, 8, 4001) if read_noise else np.zeros(1)
    weights = np.exp(-(steps**2) / 2)
    values = 2 * np.sqrt(np.maximum(counts[:, None] + read_noise * steps + 3 / 8 + read_noise**2, 0))
    chances = np.exp(xlogy(counts, electrons[:, None]) - electrons[:, None] - gammaln(counts + 1))
    return chances @ (values @ (weights / weights.sum())), electrons
