"""Larger pixels."""

import math

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.physics.operators.base import LinearOperator


class Bin(LinearOperator):
    """Mean over blocks of `factors` pixels, one for each spatial axis; `area_binning` of an array that is all blocks.

    A Aᵀ = 1/Πf, so that the norm is 1/√Πf and the pseudo-inverse repeats each pixel. Raises ValueError for x whose sizes
    are no multiples: rows that would not be seen are to be cropped by whoever knows of them.
    """

    factors: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        if not self.factors or not all(int(f) == f and f >= 1 for f in self.factors):
            raise ValueError(f"got factors={self.factors}; expected integers of 1 or more; to fix: (2, 2)")

    def __call__(self, x):
        spatial = x.shape[:-1]
        if len(spatial) != len(self.factors) or any(n % f for n, f in zip(spatial, self.factors)):
            raise ValueError(
                f"got x of shape {x.shape} for factors {self.factors}; expected multiples of them and a channel axis; to "
                "fix: crop x"
            )
        blocks = x.reshape(*(size for n, f in zip(spatial, self.factors) for size in (n // f, f)), x.shape[-1])
        return blocks.mean(axis=tuple(range(1, 2 * len(spatial), 2)))

    def adjoint(self, y):
        return self.pseudo_inverse(y) / math.prod(self.factors)

    def pseudo_inverse(self, y):
        for axis, factor in enumerate(self.factors):
            y = jnp.repeat(y, factor, axis=axis)
        return y

    def damped_inverse(self, y, most):
        return jnp.minimum(1, most / math.sqrt(math.prod(self.factors))) * self.pseudo_inverse(y)
