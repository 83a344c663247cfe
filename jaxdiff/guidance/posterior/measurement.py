"""What was recorded of one image: y = A x0 + s n."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.physics.operators import LinearOperator
from jaxdiff.solvers.base import array_leaf


class Linearised(NamedTuple):
    """A measurement near an image x0: y − h(x) ≈ r − A (x − x0), with noise of standard deviation s."""

    operator: LinearOperator
    residual: Float[Array, "*measured C"]
    noise: Any
    iterations: int

    def solved(self, variance: Any) -> Float[Array, "*measured C"]:
        """(s² + v A Aᵀ)⁻¹ r for a scalar v, by conjugate gradients."""

        def apply(u):
            return self.noise**2 * u + variance * self.operator(self.operator.adjoint(u))

        return jax.scipy.sparse.linalg.cg(apply, self.residual, tol=1e-6, maxiter=self.iterations)[0]


class AbstractMeasurement(eqx.Module):
    """What the methods of posterior sampling need to know of y = h(x0) + noise."""

    noise: eqx.AbstractVar[Any]
    """The standard deviation s of `at`."""

    @abc.abstractmethod
    def at(self, x0: Float[Array, "*spatial C"]) -> Linearised:
        """h around x0. Raises ValueError where h(x0) has not the shape of y."""

    @abc.abstractmethod
    def corrected(self, x0: Float[Array, "*spatial C"], spread: Any) -> Float[Array, "*spatial C"]:
        """x0 + A⁺ w (y − h(x0)): w = min(1, spread / s), `spread` the standard deviation of what x0 may be."""


class Measurement(AbstractMeasurement):
    """y (*measured, C) in model units, the operator A that it came by, and the standard deviation s of its noise.

    Another recording, PSF or noise is no new trace. Raises ValueError for noise below 0.
    """

    operator: LinearOperator
    y: Float[Array, "*measured C"] = eqx.field(converter=array_leaf)
    noise: Any = eqx.field(converter=array_leaf)
    iterations: int = eqx.field(static=True, default=30)
    """Most steps of conjugate gradients."""

    def __check_init__(self):
        if isinstance(self.noise, np.ndarray) and not (np.isfinite(self.noise).all() and (self.noise >= 0).all()):
            raise ValueError(f"got noise={self.noise}; expected a standard deviation of 0 or more, in model units")

    def at(self, x0):
        seen = self.operator(x0)
        check_seen(seen, self.y, x0)
        return Linearised(self.operator, self.y.astype(x0.dtype) - seen, self.noise.astype(x0.dtype), self.iterations)

    def corrected(self, x0, spread):
        near = self.at(x0)
        weight = jnp.where(near.noise > spread, spread / jnp.where(near.noise > 0, near.noise, 1), 1)
        return x0 + weight * self.operator.pseudo_inverse(near.residual)


def check_seen(seen: Any, y: Any, x0: Any) -> None:
    """Raises ValueError where what is seen of x0 has not the shape of y."""
    if seen.shape != y.shape:
        raise ValueError(
            f"got a measurement of shape {y.shape} and an operator that makes {seen.shape} of an image of "
            f"{x0.shape}; expected the same; to fix: sample images of the size that was recorded"
        )
