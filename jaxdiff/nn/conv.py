"""Convolution of stride 1 whose gradient by its input is as fast inside of loops as outside.

XLA on CPU brings a convolution into the layout of its fast kernel only where it stands outside of loops (measured: ten
times slower within, where posterior sampling takes its gradients). The tangent is therefore written with the kernel's
channels swapped, so that its transpose, which is the gradient, has that layout from the start.
"""

from typing import Any

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero

NAME = "convolution"
"""Of the result, for policies of rematerialisation, which do not see the product inside of a custom derivative."""


@jax.custom_jvp
def _same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _convolved(x, kernel, swapped=False)


def _convolved(x: jax.Array, kernel: jax.Array, *, swapped: bool) -> jax.Array:
    """x (N, *spatial, I), kernel (*window, I, O), or (*window, O, I) where `swapped`."""
    n = x.ndim - 2
    space = tuple(range(1, n + 1))
    window = tuple(range(n))
    channels = (n, n + 1) if swapped else (n + 1, n)
    ends = (0, n + 1, *space)
    numbers = jax.lax.ConvDimensionNumbers(ends, (*channels, *window), ends)
    return jax.lax.conv_general_dilated(x, kernel, (1,) * n, "SAME", dimension_numbers=numbers)


def _tangent(primals, tangents):
    (x, kernel), (dx, dkernel) = primals, tangents
    terms = []
    if not isinstance(dx, SymbolicZero):
        terms.append(_convolved(dx, kernel.swapaxes(-1, -2), swapped=True))
    if not isinstance(dkernel, SymbolicZero):
        terms.append(_convolved(x, dkernel, swapped=False))
    out = _same(x, kernel)
    return out, sum(terms[1:], terms[0]) if terms else jax.numpy.zeros_like(out)


_same.defjvp(_tangent, symbolic_zeros=True)


def _general(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **_: Any) -> jax.Array:
    """In the place of `jax.lax.conv_general_dilated`, for the convolutions that `Conv` makes."""
    return checkpoint_name(_same(x, kernel), NAME)


def Conv(features: int, kernel_size: tuple[int, ...], **options: Any) -> nn.Conv:
    """Flax's `Conv` of stride 1 and zero padding to the same size; options: `use_bias`, `dtype`, `kernel_init`, `name`."""
    return nn.Conv(features, kernel_size, conv_general_dilated=_general, **options)
