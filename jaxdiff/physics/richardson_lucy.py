"""Richardson-Lucy: the likeliest image behind photon counts (Richardson 1972, doi:10.1364/JOSA.62.000055; Lucy 1974)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.physics.operators import LinearOperator


def richardson_lucy(
    operator: LinearOperator,
    y: Float[Array, "*measured C"],
    steps: int,
    start: Float[Array, "*spatial C"] | None = None,
    *,
    background: Any = 0.0,
    sensitivity: bool = True,
) -> Float[Array, "*spatial C"]:
    """x after `steps` of x ← x Aᵀ(y / (A x + b)) / Aᵀ1, of y in photons, offset subtracted, as one `lax.scan`.

    Each step raises the Poisson likelihood of y and keeps x ≥ 0; many steps fit the noise. start: default the mean of y
    everywhere. background: b, expected photons that are not of the image, in y's units. sensitivity: divide by Aᵀ1, which is
    below 1 near edges that lose light; False is scikit-image's iteration.
    Raises ValueError for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"got steps={steps}; expected 1 or more; to fix: 30")
    seen_by = operator.adjoint(jnp.ones_like(y))
    if start is None:
        start = jnp.full_like(seen_by, jnp.mean(y))
    least = jnp.finfo(y.dtype).tiny ** 0.5
    weight = jnp.maximum(seen_by, 1e-6) if sensitivity else 1.0

    def step(x, _):
        ratio = y / jnp.maximum(operator(x) + background, least)
        return x * jnp.maximum(operator.adjoint(ratio), 0.0) / weight, None

    return jax.lax.scan(step, start, length=steps)[0]
