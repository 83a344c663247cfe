"""Solvers that each break one promise."""

import itertools
from typing import ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd


class Overstated(jd.DDIM):
    """Of order 1."""

    order: ClassVar[int] = 2


class TooNoisy(jd.DDPM):
    """One per cent more noise."""

    def weights(self, at, to):
        table = super().weights(at, to)
        return table._replace(predictor_z=1.01 * table.predictor_z)


class Biased(jd.DDIM):
    """A thousandth more of D."""

    def weights(self, at, to):
        table = super().weights(at, to)
        return table._replace(predictor_v=1.001 * table.predictor_v)


class EqualSteps(jd.IPNDM):
    """Adams and Bashforth's weights of equal steps, said to be of order 2."""

    convergence_order = 2


class NoiseOfTheStart(jd.DDPM):
    """σ_t in the place of σ_s: right in the limit, wrong in every step."""

    def weights(self, at, to):
        table = super().weights(at, to)
        return table._replace(predictor_z=at.sigma / to.sigma * table.predictor_z)


class RightAtZeroAndOne(jd.DPMpp):
    """η where η² belongs, in the drift."""

    def weights(self, at, to):
        table = super().weights(at, to)
        eta, h = float(self.eta), to.lam - at.lam
        return table._replace(predictor_y=table.predictor_y * np.exp((eta**2 - eta) * h))


class Cancelling(jd.DDIM):
    """σ as √(1 − α²) in single precision: 0 from λ = 9 on."""

    def weights(self, at, to):
        sigmas = [np.sqrt(1.0 - np.square(point.alpha, dtype=np.float32)) for point in (at, to)]
        with np.errstate(divide="ignore", invalid="ignore"):
            table = super().weights(at, to)
            return table._replace(predictor_y=table.predictor_y * (sigmas[1] / sigmas[0]) / (to.sigma / at.sigma))


class Own(jd.Solver):
    """DDIM's formula, to be spoiled."""

    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(self.seen(denoise(x, at.lam)), x, at, to), memory

    def seen(self, x0):
        return x0

    def formula(self, x0, x, at, to):
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0)


class Clipped(Own):
    """D to ±3, where data of std 1 hardly ever are."""

    def seen(self, x0):
        return jnp.clip(x0, -3.0, 3.0)


class Rescaled(Own):
    """Each image's D to a maximum of at most 3."""

    def seen(self, x0):
        return x0 / jnp.maximum(jnp.abs(x0).max() / 3.0, 1.0)


class Mixed(Own):
    """A hundredth of the other channels."""

    def seen(self, x0):
        return 0.99 * x0 + 0.01 * x0.mean(-1, keepdims=True)


class Shifted(Own):
    """D of the neighbouring λ: right in the limit."""

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(denoise(x, to.lam), x, at, to), memory


class Noisy(jd.Solver):
    """DDPM's formula, to be spoiled in its noise."""

    order = 1
    stochastic = True

    def update(self, denoise, x, at, to, noise, memory):
        x0, decay = denoise(x, at.lam), at.sigma * to.alpha / (at.alpha * to.sigma)  # e^h
        z, memory = self.drawn(noise, memory)
        step = to.sigma / at.sigma / decay * x + to.alpha * (1 - decay**-2) * x0
        return step + to.sigma * (1 - decay**-2) ** 0.5 * z, memory

    def drawn(self, noise, memory):
        return noise, memory


class OneNumber(Noisy):
    """One number for all channels of a pixel."""

    def drawn(self, noise, memory):
        return jnp.broadcast_to(noise[..., :1], noise.shape), memory


class Correlated(Noisy):
    """Half of the noise is that of the step before."""

    def memory(self, x):
        return jnp.zeros_like(x)

    def drawn(self, noise, memory):
        return (noise + memory) * 0.5**0.5, noise


class ClippedNoisy(Noisy):
    """D to ±3 in a stochastic solver."""

    def update(self, denoise, x, at, to, noise, memory):
        return super().update(lambda x, lam: jnp.clip(denoise(x, lam), -3.0, 3.0), x, at, to, noise, memory)


class StaticFloat(Own):
    """A number that is a part of the program."""

    strength: float = eqx.field(default=1.0, static=True)

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


class NearlyAffine(Noisy):
    """Three per cent too little noise, and a D that bends a little."""

    scale: float = 0.97

    def update(self, denoise, x, at, to, noise, memory):
        bent = lambda x, lam: denoise(x, lam) + 1e-6 * jnp.sin(x)  # noqa: E731
        return super().update(bent, x, at, to, self.scale * noise, memory)


class NormedNoise(Noisy):
    """Each image's noise divided by its own size: the right mean and covariance, and no Gaussian."""

    def drawn(self, noise, memory):
        return noise / jnp.sqrt(jnp.mean(noise**2) + 1e-20), memory


class NoisyEulerHeun(diffrax.EulerHeun):
    """Two per cent more noise."""

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        y1, error, _, state, result = super().step(terms, t0, t1, y0, args, solver_state, made_jump)
        if isinstance(terms, diffrax.MultiTerm):
            _, diffusion = terms.terms
            y1 = y1 + 0.02 * diffusion.vf_prod(t0, y0, args, diffusion.contr(t0, t1))
        return y1, error, dict(y0=y0, y1=y1), state, result


class ClaimsEight(diffrax.Tsit5):
    """Of order 5."""

    def order(self, terms):
        return 8


class Raises(Own):
    scale: np.ndarray = eqx.field(default=1.0, converter=np.asarray)

    def weights(self, at, to):
        raise RuntimeError("no table today")
