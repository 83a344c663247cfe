"""Whether samples explain the measurement: what is left of it beside them, and what should be."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from jaxdiff.guidance.posterior.measurement import AbstractMeasurement, rows_seen

CHANCE = 1e-4
"""Of a sample of the posterior to lie outside the range, to either side, before SLACK."""
SLACK = 0.2
"""Relative distance beyond that which approximations of p(y | x) and few calls make."""
LOST = 4.0
"""Misfit from which a sample has nothing to do with the measurement."""
LARGEST = 30.0
"""Model units, standard deviations of the training pixels, beyond which nothing is an image: nuclei in linear units reach
17."""
LEAST_NOISE = 1e-3
"""Share of the size of y that counts as noise where there is less."""


class Misfit(NamedTuple):
    """Of each image, beside what is expected of samples of the posterior."""

    values: Float[Any, " num"]
    """Mean of (y − A x)²/s² over the values that were measured."""
    low: float
    high: float
    """Between which they are expected: `expected_range`."""
    largest: Float[Any, " num"]
    """The largest |value| of the image, model units."""

    @property
    def explains(self) -> Bool[np.ndarray, " num"]:
        """Whether an image explains the measurement up to its noise, and no more than that."""
        values = np.asarray(self.values)
        return (self.low <= values) & (values <= self.high) & ~self.diverged

    @property
    def diverged(self) -> Bool[np.ndarray, " num"]:
        """Whether an image has nothing to do with the measurement, or is no image: finite, and wrong."""
        return is_lost(np.asarray(self.values), np.asarray(self.largest), self.high)


def misfit(measurement: AbstractMeasurement, images: Float[Any, "num *spatial C"]) -> Misfit:
    """How much of a measurement samples leave unexplained, image by image.

    measurement: a `Measurement` or `Recording`; noise below a thousandth of what is left of y beside images of zeros
        counts as that. images: in model units, such as `jd.sample(...).images`.

    A sample x of p(x | y) is to y what the truth is: (x, y) has the distribution of (x0, y). So (y − A x)/s is N(0, I),
    and n times the misfit of n measured values has the χ² distribution with n degrees of freedom, whatever prior and
    operator. Below it are samples that repeat the noise, or of few calls; above it those that a method, the operator or
    the noise was wrong for. Raises ValueError for images of a size that was not measured.
    """
    values, largest, number = _misfit(measurement, jnp.asarray(images))
    return Misfit(np.asarray(values), *expected_range(int(number)), np.asarray(largest))


@eqx.filter_jit
def _misfit(measurement: AbstractMeasurement, images: Any) -> tuple[Any, Any, Any]:
    zeros = jnp.zeros(images.shape[1:], jnp.promote_types(images.dtype, jnp.float32))
    near = measurement.at(zeros)
    seen = rows_seen(near.operator, zeros)
    number = jnp.sum(seen)

    def mean_square(residual):
        return jnp.sum(jnp.where(seen, residual, 0) ** 2) / jnp.maximum(number, 1)

    noise = jnp.maximum(near.noise, LEAST_NOISE * jnp.sqrt(mean_square(near.residual)))

    def one(image):
        return mean_square(measurement.at(image.astype(zeros.dtype)).residual / noise), jnp.max(jnp.abs(image))

    return *jax.lax.map(one, images), number


def is_lost(values: np.ndarray, largest: np.ndarray, high: float) -> Bool[np.ndarray, " num"]:
    """Which images have a misfit that no noise explains, or a value far beyond training; NaN is either."""
    return ~((values <= max(LOST, high)) & (largest <= LARGEST))


def expected_range(number: int) -> tuple[float, float]:
    """Between which the misfit of a sample of the posterior lies, of `number` measured values."""
    degrees = max(number, 1)
    low, high = 2 * special.gammaincinv(degrees / 2, (CHANCE, 1 - CHANCE)) / degrees  # quantiles of χ²
    return float(low * (1 - SLACK)), float(high * (1 + SLACK))
