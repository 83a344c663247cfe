"""Solvers that are right but on a part of the clock, at its ends, or for images of some shapes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from broken import Noisy, Own


class ShortOfTheEnd(Own):
    """Leaves the last interval out."""

    def nodes(self, grid):
        return grid[:-2], grid[1:-1]


class ShortSteps(Own):
    """No step longer than 0.3."""

    def formula(self, x0, x, at, to):
        h = jnp.minimum(to.lam - at.lam, 0.3)
        return to.sigma / at.sigma * x - to.alpha * jnp.expm1(-h) * x0


class RoundedClock(Own):
    """λ of a table of the whole way, as schedulers of integer times have it."""

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(denoise(x, jnp.round(50 * at.lam) / 50), x, at, to), memory


class WeakAtTheEnd(Own):
    """D a tenth too small beyond λ = 1.5."""

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(jnp.where(at.lam > 1.5, 0.9, 1.0) * denoise(x, at.lam), x, at, to), memory


class WeakAtTheStart(Own):
    """D a tenth too small before λ = −6."""

    def update(self, denoise, x, at, to, noise, memory):
        return self.formula(jnp.where(at.lam < -6, 0.9, 1.0) * denoise(x, at.lam), x, at, to), memory


class SigmaFloor(Own):
    """σ at least 0.05."""

    def formula(self, x0, x, at, to):
        before, after = (jnp.maximum(point.sigma, 0.05) for point in (at, to))
        return to.alpha * x0 + after / before * (x - at.alpha * x0)


class Counted(Own):
    """DDIM that counts its steps, to leave one out."""

    left_out: int = eqx.field(default=0, static=True)

    def memory(self, x):
        return jnp.zeros((), jnp.int32)

    def update(self, denoise, x, at, to, noise, memory):
        return jnp.where(memory == self.left_out, x, super().update(denoise, x, at, to, noise, None)[0]), memory + 1


class ThreeChannels(Own):
    """The third channel stays noise."""

    def formula(self, x0, x, at, to):
        moved = super().formula(x0, x, at, to)
        return moved.at[..., 2:].set(x[..., 2:]) if x.shape[-1] > 2 else moved


class ClippedVolume(Own):
    """D of volumes to ±1."""

    def seen(self, x0):
        return jnp.clip(x0, -1.0, 1.0) if x0.ndim == 4 else x0


class ClippedLargeImage(Own):
    """D of images of more than 1,000 values to ±1."""

    def seen(self, x0):
        return jnp.clip(x0, -1.0, 1.0) if x0.size > 1000 else x0


class ClippedResult(Own):
    """The last D to ±3.5."""

    def result(self, x0):
        return jnp.clip(x0, -3.5, 3.5)


class EndsWithTheState(Own):
    """Says that its last update is the result, which is x."""

    ends_itself = True


class EndsWithHalf(Own):
    """Halves the image in the last row, which is 1e-3 long."""

    ends_itself = True

    def formula(self, x0, x, at, to):
        return jnp.where(to.lam - at.lam < 1.001e-3, 0.5 * x0, super().formula(x0, x, at, to))


class EndsWithD(Own):
    """Right: its last update is D."""

    ends_itself = True

    def formula(self, x0, x, at, to):
        return jnp.where(to.lam - at.lam < 1.001e-3, x0, super().formula(x0, x, at, to))


class StoppedAtTheEnd(Own):
    """No gradient through D beyond λ = 2."""

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        return self.formula(jnp.where(at.lam > 2, jax.lax.stop_gradient(x0), x0), x, at, to), memory


class NoisyAtTheEnd(Noisy):
    """A tenth more noise beyond λ = 1.2."""

    def update(self, denoise, x, at, to, noise, memory):
        return super().update(denoise, x, at, to, jnp.where(at.lam > 1.2, 1.1, 1.0) * noise, memory)


class OneStepWithoutNoise(Noisy):
    """The sixth step has none."""

    def memory(self, x):
        return jnp.zeros((), jnp.int32)

    def drawn(self, noise, memory):
        return jnp.where(memory == 5, 0.0, noise), memory + 1
