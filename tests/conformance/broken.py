"""Solvers that each break one promise."""

import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd


class Overstated(jd.DDIM):
    """Of order 1."""

    order: ClassVar[int] = 2


class TooNoisy(jd.DDPM):
    """A fifth more noise."""

    def weights(self, at, to):
        table = super().weights(at, to)
        return table._replace(predictor_z=1.2 * table.predictor_z)


class Biased(jd.DDIM):
    """Two per cent more of D."""

    def weights(self, at, to):
        table = super().weights(at, to)
        return table._replace(predictor_v=1.02 * table.predictor_v)


class Cancelling(jd.DDIM):
    """σ as √(1 − α²) in single precision: 0 from λ = 9 on."""

    def weights(self, at, to):
        sigmas = [np.sqrt(1.0 - np.square(point.alpha, dtype=np.float32)) for point in (at, to)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return super().weights(at, to)._replace(predictor_y=sigmas[1] / sigmas[0])


class Own(jd.Solver):
    """DDIM's formula, to be spoiled."""

    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(self.seen(denoise(x, at.lam)), x, at, to), memory

    def seen(self, x0):
        return x0

    def formula(self, x0, x, at, to):
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0)


class PythonFloat(Own):
    """A number that is no array leaf."""

    strength: float = 1.0

    def seen(self, x0):
        return self.strength * x0


class Stopped(Own):
    def seen(self, x0):
        return jax.lax.stop_gradient(x0)


class NotANumberBackwards(Own):
    def seen(self, x0):
        return x0 + jnp.sqrt(0.0 * x0)


class Counting(Own):
    """Counts how often Python runs it."""

    count: ClassVar = itertools.count()

    def seen(self, x0):
        return x0 * (1.0 + 0.1 * next(self.count))


class OwnNoise(Own):
    def seen(self, x0):
        return x0 + 0.1 * jax.random.normal(jax.random.key(0), x0.shape, x0.dtype)


class NumpyNoise(Own):
    def seen(self, x0):
        return x0 + 0.1 * np.random.default_rng().normal(size=x0.shape).astype(x0.dtype)


class AsksTheHost(Own):
    def seen(self, x0):
        return jax.pure_callback(lambda x0: np.asarray(x0), jax.ShapeDtypeStruct(x0.shape, x0.dtype), x0)


class Undeclared(Own):
    """Two calls, one declared."""

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(0.5 * (denoise(x, at.lam) + denoise(x, at.lam)), x, at, to), memory


class Underdeclared(Undeclared):
    """Two calls, three declared."""

    evaluations = 3


class ShortOfTheEnd(Own):
    """Leaves the last interval out."""

    def nodes(self, grid):
        return grid[:-2], grid[1:-1]


class Raises(Own):
    scale: np.ndarray = eqx.field(default=1.0, converter=np.asarray)

    def weights(self, at, to):
        raise RuntimeError("no table today")
