"""What a linear operator is, the product of two, and the norm of any."""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.representation import representation


class LinearOperator(eqx.Module):
    """y = A x of one example (*spatial, C). A new operator is `__call__` and `adjoint`, and `pseudo_inverse` where cheap."""

    __repr__ = representation

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "*spatial C"]) -> Float[Array, "*measured C"]:
        """A x."""

    @abc.abstractmethod
    def adjoint(self, y: Float[Array, "*measured C"]) -> Float[Array, "*spatial C"]:
        """Aᵀ y: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩."""

    def pseudo_inverse(self, y: Float[Array, "*measured C"]) -> Float[Array, "*spatial C"]:
        """A⁺ y, the least x of least squares. Raises NotImplementedError where it is not cheap."""
        raise NotImplementedError(
            f"got {type(self).__name__}.pseudo_inverse, which has no cheap form; expected an operator that has; to fix: a "
            "method of posterior sampling that needs the adjoint alone"
        )

    def damped_inverse(self, y: Float[Array, "*measured C"], most: Any) -> Float[Array, "*spatial C"]:
        """A⁺ y with min(1/a, `most`) in place of 1/a, for each singular value a of A.

        As it stands, for operators whose singular values are 0 or 1. Raises NotImplementedError as `pseudo_inverse` does.
        """
        return jnp.minimum(1, most) * self.pseudo_inverse(y)

    def __matmul__(self, inner: "LinearOperator") -> "Product":
        return Product(self, inner)


class Product(LinearOperator):
    """A B: first `inner`, then `outer`."""

    outer: LinearOperator
    inner: LinearOperator

    def __call__(self, x):
        return self.outer(self.inner(x))

    def adjoint(self, y):
        return self.inner.adjoint(self.outer.adjoint(y))


def operator_norm(
    operator: LinearOperator, shape: Sequence[int], iterations: int = 100, dtype: Any = jnp.float32
) -> Float[Array, ""]:
    """The largest singular value of an operator, from below, by power iteration on Aᵀ A from a fixed random start.

    The error falls with (σ₂/σ₁)^(4 iterations): it is small either way where σ₂ is close to σ₁.

    Args:
        operator: A.
        shape: of x, (*spatial, channels).
        iterations: products with Aᵀ A.
        dtype: of the iteration.

    Returns:
        A number.
    """
    start = jax.random.normal(jax.random.key(0), tuple(shape), dtype)

    def step(_, x):
        x = operator.adjoint(operator(x))
        return x / jnp.linalg.norm(x.ravel())

    x = jax.lax.fori_loop(0, iterations, step, start / jnp.linalg.norm(start.ravel()))
    return jnp.linalg.norm(operator(x).ravel())
