"""A factor for each value; a mask, of missing pixels, is one of 0 and 1."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped

from jaxdiff.physics.operators.base import LinearOperator


class Diagonal(LinearOperator):
    """x times `weights`: an uneven illumination, a precision, a slope. Its own adjoint; its norm is the largest |weight|."""

    weights: Shaped[Array, "*spatial C"]
    """Numbers or booleans, of a shape that broadcasts against x."""

    def __call__(self, x):
        return x * self.weights.astype(x.dtype)

    def adjoint(self, y):
        return self(y)

    def pseudo_inverse(self, y):
        weights = self.weights.astype(y.dtype)
        return jnp.where(weights == 0, 0, y / jnp.where(weights == 0, 1, weights))

    def damped_inverse(self, y, most):
        weights = self.weights.astype(y.dtype)
        return jnp.where(
            weights == 0, 0, jnp.sign(weights) * jnp.minimum(1 / jnp.abs(jnp.where(weights == 0, 1, weights)), most) * y
        )


class Mask(Diagonal):
    """x where `weights`, booleans, else 0: dead pixels, saturated ones, holes. Its own pseudo-inverse; its norm is 1."""
