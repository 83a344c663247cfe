"""MMPS: moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.process.gaussian import alpha, sigma


class MMPS(eqx.Module):
    """p(y | x) ≈ N(y; A D, s² + A V Aᵀ), V = Cov[x0 | x] = (σ²/α) ∂D/∂x: D_y = D + V Aᵀ (s² + A V Aᵀ)⁻¹ (y − A D).

    Exact for every Gaussian prior, once the solve is: `iterations` steps of conjugate gradients, each with a gradient of the
    network. A network's ∂D/∂x is not quite a covariance, and many steps make more of that: 1 to 3, with a solver that adds
    noise. One network call and `iterations` gradients.
    """

    denoise: Denoiser
    measurement: AbstractMeasurement
    iterations: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        if self.iterations < 1:
            raise ValueError(f"got iterations={self.iterations}; expected 1 or more; to fix: 2")

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        lam = jnp.asarray(lam, x.dtype)
        near = self.measurement.at(x0)

        def pulled(u):  # V Aᵀ u; ∂D/∂x is symmetric where D is a posterior mean
            return sigma(lam) ** 2 / alpha(lam) * pull(near.operator.adjoint(u))[0]

        def step(_, state):
            r, p, image = state
            moved = pulled(p)
            along = near.noise**2 * p + near.operator(moved)
            length = _dot(r, r) / jnp.maximum(_dot(p, along), tiny)
            rest = r - length * along
            return rest, rest + _dot(rest, rest) / jnp.maximum(_dot(r, r), tiny) * p, image + length * moved

        tiny, r = jnp.finfo(x.dtype).tiny, near.residual
        return x0 + jax.lax.fori_loop(0, self.iterations, step, (r, r, jnp.zeros_like(x0)))[2]


def _dot(a, b):
    return jnp.sum(a * b)
