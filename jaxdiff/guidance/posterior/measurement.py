"""What was recorded of one image: y = A x0 + s n."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdiff.denoiser import Denoiser
from jaxdiff.physics.operators import LinearOperator
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class Linearised(NamedTuple):
    """A measurement near an image x0: y − h(x) ≈ r − A (x − x0), with noise of standard deviation s."""

    operator: LinearOperator
    residual: Float[Array, "*measured C"]
    noise: Any
    iterations: int

    def proximal(self, variance: Any) -> Float[Array, "*spatial C"]:
        """v Aᵀ (s² + v A Aᵀ)⁻¹ r for a scalar v, by conjugate gradients.

        As v (s² + v Aᵀ A)⁻¹ Aᵀ r, which has a solution without noise, too, where no image has such an r.
        """
        size = jnp.maximum(self.noise**2 + variance, jnp.finfo(self.residual.dtype).tiny)
        noise, share = self.noise**2 / size, variance / size  # at most 1, however large v is

        def apply(u):
            return noise * u + share * self.operator.adjoint(self.operator(u))

        unit, length = unit_and_length(self.operator.adjoint(self.residual))
        return share * length * jax.scipy.sparse.linalg.cg(apply, unit, tol=1e-6, maxiter=self.iterations)[0]

    def bounded(self, step: Float[Array, "*spatial C"]) -> Float[Array, "*spatial C"]:
        """τ step, 0 ≤ τ ≤ 1, no longer than where |r − τ A step| is least: no step leaves more unexplained than there was.

        A step V Aᵀ (s² + A V Aᵀ)⁻¹ r with V ≥ 0 is left as it is: with F = A V Aᵀ (s² + A V Aᵀ)⁻¹, 0 ≤ F ≤ 1, A step = F r
        and ⟨r, F r⟩ ≥ |F r|². What is shortened is a step whose V is not that of its Aᵀ (…)⁻¹ r, or no covariance.
        """
        towards, left = unit_and_length(self.residual)
        along, length = unit_and_length(self.operator(step))
        best = dot(towards, along) * left / jnp.maximum(length, jnp.finfo(step.dtype).tiny)
        return jnp.where(length > 0, jnp.clip(best, 0, 1), 1) * step


class AbstractMeasurement(eqx.Module):
    """What the methods of posterior sampling need to know of y = h(x0) + noise."""

    noise: eqx.AbstractVar[Any]
    """The standard deviation s of `at`."""

    __repr__ = representation

    @abc.abstractmethod
    def at(self, x0: Float[Array, "*spatial C"]) -> Linearised:
        """h around x0. Raises ValueError where h(x0) has not the shape of y."""

    @abc.abstractmethod
    def corrected(self, x0: Float[Array, "*spatial C"], spread: Any) -> Float[Array, "*spatial C"]:
        """x0 + A⁺ (y − h(x0)), each 1/a of A⁺ (a a singular value of A) at most `spread` / s.

        spread: the standard deviation of what a pixel of x0 may be.
        """


Method = Callable[[Denoiser, AbstractMeasurement], Denoiser]
"""A method of posterior sampling: from the model's denoiser and what was measured to the denoiser of the posterior.

The measurement's `at(x0)` is the problem near x0 (`AbstractMeasurement`): its linear operator A
and adjoint, the residual, the noise. What comes back is called as `denoise(x, lam, cond)`, like any denoiser.
`jd.check_posterior` says how right a method is, and where.
"""


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
        predicted = self.operator(x0)
        check_seen(predicted, self.y, x0)
        residual = jnp.where(rows_seen(self.operator, x0), self.y.astype(x0.dtype) - predicted, 0)
        return Linearised(self.operator, residual, self.noise.astype(x0.dtype), self.iterations)

    def corrected(self, x0, spread):
        near = self.at(x0)
        most = jnp.where(near.noise > 0, spread / jnp.where(near.noise > 0, near.noise, 1), jnp.inf)
        return x0 + near.bounded(self.operator.damped_inverse(near.residual, most))


def rows_seen(operator: LinearOperator, x0: Float[Array, "*spatial C"]) -> Bool[Array, "*measured C"]:
    """Which values of A x are of x at all: others, such as those under a mask, are 0 whatever y is there, and say nothing."""
    return operator(jax.random.normal(jax.random.key(0), x0.shape, x0.dtype)) != 0


def unit_and_length(a: Any) -> tuple[Any, Any]:
    """a/|a| and |a|, of zeros 0 and 0; squares of the largest float32 do not overflow."""
    tiny = jnp.finfo(a.dtype).tiny
    size = jax.lax.stop_gradient(jnp.maximum(jnp.max(jnp.abs(a)), tiny))
    scaled = a / size
    square = dot(scaled, scaled)
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return scaled / length, jnp.where(square > 0, size * length, 0)


def dot(a: Any, b: Any) -> Any:
    """⟨a, b⟩ of arrays of one shape."""
    return jnp.sum(a * b)


def check_seen(predicted: Any, y: Any, x0: Any) -> None:
    """Raises ValueError where what is seen of x0 has not the shape of y."""
    if predicted.shape != y.shape:
        raise ValueError(
            f"got a measurement of shape {y.shape} and an operator that makes {predicted.shape} of an image of "
            f"{x0.shape}; expected the same; to fix: sample images of the size that was recorded"
        )
