"""SiLU, x / (1 + exp(-x)), whose backward pass reads one array (Elfwing, Uchibe and Doya 2018, arXiv:1702.03118).

Differentiated by its parts it would keep the logistic, and the backward pass would compute the rest from it and from x.
"""

import jax
from jaxtyping import Array, Float


@jax.custom_jvp
def silu(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """x / (1 + exp(-x)), element by element."""
    return x * jax.nn.sigmoid(x)


@silu.defjvp
def _tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    logistic = jax.nn.sigmoid(x)
    return x * logistic, dx * (logistic * (1 + x * (1 - logistic)))
