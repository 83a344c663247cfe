"""Mutants by their update: the denoiser, image or noise that it is handed is spoiled, or its Langevin step is."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.solvers.multistep import Kernel
from jaxdiff.solvers.predictor_corrector import PredictorCorrector


class SpoiledCorrector(PredictorCorrector):
    """The predictor-corrector with its Langevin step x + 2 q² r + 2 q σ z spoiled."""

    how: str = eqx.field(static=True, default="")

    def update(self, denoise, x, at, to, noise, memory):
        w, x0 = at.weights, denoise(x, at.lam)
        change, fresh, scale = {
            "drift x 1.01": lambda r: (1.01 * r, noise, 1.0),
            "drift x 0.99": lambda r: (0.99 * r, noise, 1.0),
            "drift dropped": lambda r: (0.0 * r, noise, 1.0),
            "drift backwards": lambda r: (-r, noise, 1.0),
            "drift one pixel on": lambda r: (jnp.roll(r, 1, axis=0), noise, 1.0),
            "noise x 1.01": lambda r: (r, 1.01 * noise, 1.0),
            "noise x 0.99": lambda r: (r, 0.99 * noise, 1.0),
            "noise dropped": lambda r: (r, 0.0 * noise, 1.0),
            "noise without sqrt(2)": lambda r: (r, 0.5**0.5 * noise, 1.0),
            "noise of the first row": lambda r: (r, noise.at[1:].set(0.0), 1.0),
            "sigma of the noise for alpha": lambda r: (r, noise, at.alpha / at.sigma),
            "sigma of the noise dropped": lambda r: (r, noise, 1.0 / at.sigma),
            "D x 1.001 in the score": lambda r: (r + 0.001 * at.alpha * x0, noise, 1.0),
            "alpha of the score for sigma": lambda r: (r + (at.sigma - at.alpha) * x0, noise, 1.0),
            "x x 1.01 in the score": lambda r: (r - 0.01 * x, noise, 1.0),
        }[self.how](at.alpha * x0 - x)
        square = jnp.sum((at.alpha * x0 - x) ** 2)
        q = w.corrects * at.sigma * jnp.sqrt(jnp.sum(noise**2) / jnp.where(square > 0, square, jnp.inf))
        corrected = 2.0 * q**2 * change + 2.0 * q * at.sigma * scale * fresh
        return w.keep * x + w.pull * x0 + w.fresh * noise + corrected, memory


SPOILED_CORRECTOR = (
    *("drift x 1.01", "drift x 0.99", "drift dropped", "drift backwards", "drift one pixel on", "noise x 1.01"),
    *(
        "noise x 0.99",
        "noise dropped",
        "noise without sqrt(2)",
        "noise of the first row",
        "sigma of the noise for alpha",
    ),
    *("sigma of the noise dropped", "D x 1.001 in the score", "alpha of the score for sigma", "x x 1.01 in the score"),
)


class Spoiled(Kernel):
    """The kernel of linear multistep methods, with what enters its update spoiled."""

    how: str = eqx.field(static=True, default="")
    order: ClassVar[int] = 1
    kernel = property(lambda self: self)

    def memory(self, x):
        return Kernel(self.depth).memory(x), jnp.zeros_like(x)

    def update(self, denoise, x, at, to, noise, memory):
        inner, before = memory
        image, z = self._enters(denoise, x, at, to), self._drawn(noise, before, at)
        first_noise = jnp.where(before == 0, noise, before) if self.how == "noise of the first step" else noise
        before, (x, inner) = x, Kernel(self.depth).update(image, x, at, to, z, inner)
        if self.how == "third channel left as it is":
            x = x.at[..., 2:3].set(before[..., 2:3])
        return x, (inner, first_noise)

    def result(self, x0):
        return jnp.clip(x0, -3.5, 3.5) if self.how == "result clipped to 3.5" else x0

    def _enters(self, denoise, x, at, to):
        changes = {
            "lambda + 0.01": lambda x, lam: denoise(x, lam + 0.01),
            "lambda of `to`": lambda x, lam: denoise(x, to.lam),
            "D clipped to 3": lambda x, lam: jnp.clip(denoise(x, lam), -3.0, 3.0),
            "D x 1.001": lambda x, lam: 1.001 * denoise(x, lam),
            "D less a hundredth of its mean": lambda x, lam: (lambda d: d - 0.01 * d.mean())(denoise(x, lam)),
            "D through 10 tanh(D/10)": lambda x, lam: 10.0 * jnp.tanh(denoise(x, lam) / 10.0),
            "D one pixel on": lambda x, lam: jnp.roll(denoise(x, lam), 1, axis=0),
            "D x 0.9 beyond 1.5": lambda x, lam: jnp.where(lam > 1.5, 0.9, 1.0) * denoise(x, lam),
            "D x 0.9 before -6": lambda x, lam: jnp.where(lam < -6.0, 0.9, 1.0) * denoise(x, lam),
            "x without its last channel": lambda x, lam: denoise(x.at[..., -1].set(0.0), lam),
        }
        return changes.get(self.how, denoise)

    def _drawn(self, noise, before, at):
        return {
            "noise of the step before": before,
            "noise of the first step": jnp.where(before == 0, noise, before),
            "noise, half of the step before": (noise + before) * 0.5**0.5,
            "noise x 1.1 beyond 1.2": jnp.where(at.lam > 1.2, 1.1, 1.0) * noise,
            "noise of one channel": noise.at[..., 1:].set(0.0),
            "one noise for all pixels": jnp.broadcast_to(noise[:1, :1], noise.shape),
        }.get(self.how, noise)


SPOILED = (
    *("lambda + 0.01", "lambda of `to`", "D clipped to 3", "D x 1.001", "D less a hundredth of its mean"),
    *("D through 10 tanh(D/10)", "D one pixel on", "x without its last channel", "noise of the step before"),
    *("D x 0.9 beyond 1.5", "D x 0.9 before -6", "noise x 1.1 beyond 1.2", "third channel left as it is"),
    *(
        "result clipped to 3.5",
        "noise of the first step",
        "noise, half of the step before",
        "noise of one channel",
        "one noise for all pixels",
    ),
)
