"""Convolution of one image, of stride 1, whose gradient by its input is as fast inside of loops as outside.

XLA on CPU brings a convolution into the layout of its fast kernel only where it stands outside of loops (measured: ten
times slower within, where posterior sampling takes its gradients). The tangent is therefore written with the kernel's
channels swapped, so that its transpose, which is the gradient, has that layout from the start.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxdiff.nn import lanes

NAME = "convolution"
"""Of the result, for policies of rematerialisation, which do not see the product inside of a custom derivative."""


@jax.custom_jvp
def _same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lanes.same(x, kernel)


def _tangent(primals, tangents):
    (x, kernel), (dx, dkernel) = primals, tangents
    terms = []
    if not isinstance(dx, SymbolicZero):
        terms.append(lanes.same(dx, kernel.swapaxes(-1, -2), swapped=True))
    if not isinstance(dkernel, SymbolicZero):
        terms.append(lanes.same(x, dkernel))
    out = _same(x, kernel)
    return out, sum(terms[1:], terms[0]) if terms else jnp.zeros_like(out)


_same.defjvp(_tangent, symbolic_zeros=True)


class Conv(nn.Module):
    """Convolution with zero padding to the same size, of channels that may come in several arrays, one after the other.

    A skip connection is such an array: the sum of two convolutions is the convolution of both arrays side by side, which is
    never made. Parameters are those of Flax's `Conv`, and with a window of no axes, a matrix product a pixel, of its `Dense`.
    """

    features: int
    window: Sequence[int]
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, *parts: Float[Array, "*spatial channels"]) -> Float[Array, "*spatial features"]:
        sizes = [part.shape[-1] for part in parts]
        shape = (*self.window, sum(sizes), self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        kernels = jnp.split(kernel, np.cumsum(sizes)[:-1], axis=-2)
        y, *more = (self._product(part.astype(self.dtype), own) for part, own in zip(parts, kernels))
        y = sum(more, y)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y

    def _product(self, x: Array, kernel: Array) -> Array:
        return checkpoint_name(_same(x, kernel), NAME) if self.window else lanes.same(x, kernel)
