"""Cov[x0 | x] by the network's Jacobian, as seen through the operator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxdiff.guidance.posterior.measurement import Linearised, dot
from jaxdiff.process.gaussian import alpha, sigma

WIDEST = 4.0
"""Most that Cov[x0 | x] is taken for in units of σ²/α², its bound for every log-concave distribution of x0
(Brascamp-Lieb)."""


class Spread(NamedTuple):
    """V = (σ²/α) ∂D/∂x of a denoiser at one x: symmetric and not negative where D is a posterior mean."""

    near: Linearised
    pull: Callable[[Any], tuple[Any]]
    """The vector-Jacobian product of D at x."""
    lam: Any

    def of(self, u: Any) -> tuple[Any, Any, Any]:
        """V Aᵀ u, A V Aᵀ u, and uᵀ A V Aᵀ u.

        The last is the square of a length: |V w|² ≤ |V| wᵀ V w of a covariance bounds it from below. The Jacobian of a
        network is not quite one, and without the bound a small or negative number would make a step of any length.
        """
        pulled = sigma(self.lam) ** 2 / alpha(self.lam) * self.pull(self.near.operator.adjoint(u))[0]
        measured = self.near.operator(pulled)
        least = jnp.exp(2 * self.lam) / WIDEST * dot(pulled, pulled)
        return pulled, measured, jnp.maximum(dot(u, measured), least)
