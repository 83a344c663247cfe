"""Missing pixels."""

from jaxtyping import Array, Shaped

from jaxdiff.physics.operators.base import LinearOperator


class Mask(LinearOperator):
    """x where `seen`, else 0: dead pixels, saturated ones, holes. Its own adjoint and pseudo-inverse; its norm is 1."""

    seen: Shaped[Array, "*spatial C"]
    """Booleans; C may be 1, for all channels alike."""

    def __call__(self, x):
        return x * self.seen.astype(x.dtype)

    def adjoint(self, y):
        return self(y)

    def pseudo_inverse(self, y):
        return self(y)
