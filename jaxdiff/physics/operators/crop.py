"""A part of the image."""

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.physics.operators.base import LinearOperator


class Crop(LinearOperator):
    """The first `size` pixels along each spatial axis of an image of `full`. Rows of the identity: A⁺ = Aᵀ, the norm is 1."""

    size: tuple[int, ...] = eqx.field(static=True)
    full: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        if len(self.size) != len(self.full) or not all(0 < s <= f for s, f in zip(self.size, self.full)):
            raise ValueError(f"got size={self.size} of full={self.full}; expected 1 to full along each axis")

    def __call__(self, x):
        if x.shape[:-1] != self.full:
            raise ValueError(f"got x of shape {x.shape}; expected {self.full} pixels and a channel axis")
        return x[tuple(slice(0, n) for n in self.size)]

    def adjoint(self, y):
        return jnp.pad(y, [*((0, f - s) for s, f in zip(self.size, self.full)), (0, 0)])

    def pseudo_inverse(self, y):
        return self.adjoint(y)
