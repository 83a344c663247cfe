"""EDM's Heun sampler."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, Solver, array_leaf


class _Weights(NamedTuple):
    keep: Any
    fresh: Any
    x: Any
    d: Any
    x_before: Any
    d_before: Any


class EDMHeun(Solver):
    """Heun's method on dy/ds = (y − D)/s, with y = x/α and s = σ/α, after raising the noise by `churn`.

    Each interval is two rows, a predictor (Euler) and a corrector that calls D at the arrival; the last value of the grid
    takes one call, so a grid of n values costs 2n − 1 and D is never called at s = 0. Before each interval s is raised
    to ŝ = s (1 + γ), γ = min(churn/n, √2 − 1), with fresh noise of variance ŝ² − s²; the last call is left as it is.
    Karras et al. 2022, arXiv 2206.00364, algorithm 2 (S_tmin = 0, S_tmax = ∞, S_noise = 1).
    """

    churn: np.ndarray = eqx.field(default=0.0, converter=array_leaf)
    order: ClassVar[int] = 2
    exponential: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    @property
    def convergence_order(self) -> int:
        """With churn 1: raising the noise and following the flow in turn is right to first order, away from a marginal."""
        return 1 if np.any(np.asarray(self.churn) != 0) else 2

    def memory(self, x):
        return x, jnp.zeros_like(x)

    def _rise(self, intervals: int):
        """log(1 + γ): how far the noise is raised, in λ."""
        xp = namespace(self.churn)
        return xp.log1p(xp.minimum(self.churn / (intervals + 1), np.sqrt(2.0) - 1.0))

    def nodes(self, grid):
        rise = self._rise(len(grid) - 1)
        xp = namespace(grid, rise)
        return xp.stack([grid[:-1] - rise, grid[1:]], 1).reshape(-1), xp.repeat(grid[1:], 2)

    def weights(self, at: Point, to: Point) -> _Weights:
        rows = len(at.lam)
        predictor = np.arange(rows) % 2 == 0
        raised = predictor & (np.arange(rows) < rows - rows % 2)  # not in the last call of `final="denoise"`
        rise = self._rise(rows // 2)
        xp = namespace(at.lam, to.lam, rise)
        rise = xp.where(raised, rise, 0.0)
        before = Point.of(at.lam + rise)
        keep = at.alpha / before.alpha
        # Where nothing is raised the derivative of the root would be infinite.
        fresh = at.sigma * xp.where(raised, xp.sqrt(-xp.expm1(-2.0 * xp.where(raised, rise, 1.0))), 0.0)

        # predictor: DDIM's step. corrector: from ŷ (the row before) with the mean of both slopes
        start = Point.of(xp.where(predictor, at.lam, xp.roll(at.lam, 1)))
        shrink = xp.expm1(start.lam - to.lam)  # s'/ŝ − 1
        half = -0.5 * xp.expm1(to.lam - start.lam)  # (s' − ŝ)/(2 s')
        none = np.zeros(rows)
        return _Weights(
            keep,
            fresh,
            x=xp.where(predictor, to.sigma / at.sigma, half),
            d=xp.where(predictor, -to.alpha * shrink, -to.alpha * half),
            x_before=xp.where(predictor, none, to.alpha / start.alpha * (1.0 + 0.5 * shrink)),
            d_before=xp.where(predictor, none, -to.alpha * 0.5 * shrink),
        )

    def update(self, denoise, x, at, to, noise, memory):
        w: _Weights = at.weights
        x_before, d_before = memory
        x = w.keep * x + w.fresh * noise
        d = denoise(x, at.lam)
        return w.x * x + w.d * d + w.x_before * x_before + w.d_before * d_before, (x, d)
