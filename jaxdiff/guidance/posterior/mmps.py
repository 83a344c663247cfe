"""MMPS: moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.jacobian import Spread
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement, dot, unit_and_length
from jaxdiff.representation import representation


class MMPS(eqx.Module):
    """p(y | x) ≈ N(y; A D, s² + A V Aᵀ), V = Cov[x0 | x] = (σ²/α) ∂D/∂x: D_y = D + V Aᵀ (s² + A V Aᵀ)⁻¹ (y − A D).

    Exact for every Gaussian prior, once the solve is: `iterations` steps of conjugate gradients, each with a gradient of the
    network. A network's ∂D/∂x is not quite a covariance, and many steps make more of that: 1 to 3, with a solver that adds
    noise. One network call and `iterations` gradients. However wrong ∂D/∂x is, A D_y is no farther from y than A D.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    iterations: int = eqx.field(static=True, default=2)

    __repr__ = representation

    def __check_init__(self):
        if self.iterations < 1:
            raise ValueError(f"got iterations={self.iterations}; expected 1 or more; to fix: 2")

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        near = self.measurement.at(x0)
        spread = Spread(near, pull, jnp.asarray(lam, x.dtype))
        unit, size = unit_and_length(near.residual)

        def step(_, state):
            r, p, image = state
            pulled, measured, along = spread.of(p)
            curvature, square = near.noise**2 * dot(p, p) + along, dot(r, r)
            length = jnp.where(curvature > 0, square / jnp.where(curvature > 0, curvature, 1), 0)
            rest = r - length * (near.noise**2 * p + measured)
            return rest, rest + dot(rest, rest) / jnp.maximum(square, tiny) * p, image + length * pulled

        tiny = jnp.finfo(x.dtype).tiny
        image = jax.lax.fori_loop(0, self.iterations, step, (unit, unit, jnp.zeros_like(x0)))[2]
        return x0 + near.bounded(size * image)
