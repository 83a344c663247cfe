"""What was recorded of one image: y = A x0 + s n."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.physics.operators import LinearOperator
from jaxdiff.solvers.base import array_leaf


class Measurement(eqx.Module):
    """y (*measured, C) in model units, the operator A that it came by, and the standard deviation s of its noise.

    Another recording, PSF or noise is no new trace. Raises ValueError for noise below 0.
    """

    operator: LinearOperator
    y: Float[Array, "*measured C"] = eqx.field(converter=array_leaf)
    noise: Any = eqx.field(converter=array_leaf)
    iterations: int = eqx.field(static=True, default=30)
    """Most steps of conjugate gradients in `solved`."""

    def __check_init__(self):
        if isinstance(self.noise, np.ndarray) and not (np.isfinite(self.noise).all() and (self.noise >= 0).all()):
            raise ValueError(f"got noise={self.noise}; expected a standard deviation of 0 or more, in model units")

    def residual(self, x0: Float[Array, "*spatial C"]) -> Float[Array, "*measured C"]:
        """y − A x0. Raises ValueError where A x0 has not the shape of y."""
        seen = self.operator(x0)
        if seen.shape != self.y.shape:
            raise ValueError(
                f"got a measurement of shape {self.y.shape} and an operator that makes {seen.shape} of an image of "
                f"{x0.shape}; expected the same; to fix: sample images of the size that was recorded"
            )
        return self.y.astype(x0.dtype) - seen

    def solved(self, variance: Any, residual: Float[Array, "*measured C"]) -> Float[Array, "*measured C"]:
        """(s² + v A Aᵀ)⁻¹ r for a scalar v, by conjugate gradients."""
        noise = self.noise.astype(residual.dtype) ** 2

        def apply(u):
            return noise * u + variance * self.operator(self.operator.adjoint(u))

        return jax.scipy.sparse.linalg.cg(apply, residual, tol=1e-6, maxiter=self.iterations)[0]
