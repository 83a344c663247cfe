"""Missing slices."""

import equinox as eqx
import jax.numpy as jnp

from jaxdiff.physics.operators.base import LinearOperator


class Slices(LinearOperator):
    """The slices `kept` of `size` along an axis. Rows of the identity: the pseudo-inverse is the adjoint, the norm 1."""

    kept: tuple[int, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    axis: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not self.kept or len(set(self.kept)) < len(self.kept) or not all(0 <= k < self.size for k in self.kept):
            raise ValueError(
                f"got kept={self.kept} of {self.size} slices; expected each at most once, from 0 to {self.size - 1}; to fix: "
                "tuple(range(0, size, step))"
            )

    def __call__(self, x):
        if x.shape[self.axis] != self.size:
            raise ValueError(
                f"got x of shape {x.shape}; expected {self.size} slices along axis {self.axis}; to fix: Slices(size=...)"
            )
        return jnp.take(x, jnp.array(self.kept), axis=self.axis)

    def adjoint(self, y):
        shape = list(y.shape)
        shape[self.axis] = self.size
        place = (slice(None),) * self.axis + (jnp.array(self.kept),)
        return jnp.zeros(shape, y.dtype).at[place].set(y)

    def pseudo_inverse(self, y):
        return self.adjoint(y)
