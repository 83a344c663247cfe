"""Convolutions of one image in the form that the chip wants: a TPU's registers and matrix units are 128 channels wide.

What has fewer channels leaves the rest of them empty. There, neighbours along the last axis of space are folded into
channels, which is a reshape, and the kernel is laid out for folded pixels, with zeros where one does not see another: the
same function. By the compiler's estimate for a v5e a network of 64 channels takes half the cycles so, though its products
double. XLA moves the reshapes through all that stands between convolutions. Doubled pixels are one convolution there, too:
broadcasts into the layout of the next one cost as much as three convolutions of 3x3. Other platforms get the plain forms.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.widths import LANES


def folded(width: int, channels: int) -> int:
    """How many neighbours along an axis of `width` pixels fill the lanes best, with `channels` each."""
    return next(fold for fold in range(max(1, LANES // channels), 0, -1) if width % fold == 0)


def same(
    x: Float[Array, "*spatial i"], kernel: Float[Array, "*window i o"], *, swapped: bool = False
) -> Float[Array, "*spatial o"]:
    """Convolution with zeros beyond the edges, of windows of 3, or of none: a matrix product a pixel.

    swapped: the kernel is (*window, o, i).
    """
    fold = folded(x.shape[-2], max(kernel.shape[-2:]))
    plain = _bound(_plain, swapped=swapped)
    if kernel.ndim > 2 and (fold == 1 or kernel.shape[-3] != 3):
        return plain(x, kernel)
    return jax.lax.platform_dependent(x, kernel, tpu=_bound(_same_folded, fold=fold, swapped=swapped), default=plain)


def halved(x: Float[Array, "*spatial i"], kernel: Float[Array, "*window i o"]) -> Float[Array, "*coarse o"]:
    """Convolution of a window of 2 and stride 2 along each axis."""
    if x.shape[-1] > LANES // 2:
        return _halved(x, kernel)
    return jax.lax.platform_dependent(x, kernel, tpu=_halved_folded, default=_halved)


def doubled(x: Float[Array, "*spatial i"], kernel: Float[Array, "i o"], bias: Float[Array, " o"]) -> Array:
    """A matrix product a pixel, then each pixel twice along every axis: (*fine, o)."""
    return jax.lax.platform_dependent(x, kernel, bias, tpu=_doubled_at_once, default=_doubled)


@cache
def _bound(form: Callable[..., Array], **fields: int) -> Callable[..., Array]:
    """One object for the same fields, so that JAX traces a form once."""
    return partial(form, **fields)


def _convolved(
    x: Array,
    kernel: Array,
    stride: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation: Sequence[int] | None = None,
    swapped: bool = False,
) -> Array:
    """dilation: of x, with zeros between its pixels."""
    rank = x.ndim - 1
    ends = (0, rank + 1, *range(1, rank + 1))
    channels = (rank, rank + 1) if swapped else (rank + 1, rank)
    numbers = jax.lax.ConvDimensionNumbers(ends, (*channels, *range(rank)), ends)
    return jax.lax.conv_general_dilated(
        x[None], kernel, stride, padding, lhs_dilation=dilation, dimension_numbers=numbers
    )[0]


def _plain(x: Array, kernel: Array, swapped: bool = False) -> Array:
    if kernel.ndim == 2:
        return x @ (kernel.T if swapped else kernel)
    return _convolved(x, kernel, (1,) * (x.ndim - 1), "SAME", swapped=swapped)


def _same_folded(x: Array, kernel: Array, *, fold: int, swapped: bool) -> Array:
    """Of a window of none, one of 1: its product is written where the next convolution reads it."""
    kernel = kernel.swapaxes(-1, -2) if swapped else kernel
    *outer, width, _ = x.shape
    kernel = kernel[(None,) * (x.ndim - 1)] if kernel.ndim == 2 else kernel
    *window, taps, i, o = kernel.shape
    edge = taps // 2
    rest = edge * (fold - 1)
    # Pixel n of a folded one sees `taps` pixels of it and, past its edges, of those beside it.
    unseen = [(rest + n, rest + fold - 1 - n) for n in range(fold)]
    rows = [jnp.pad(kernel, [*((0, 0) for _ in window), ends, (0, 0), (0, 0)]) for ends in unseen]
    placed = jnp.stack(rows, axis=-2).reshape(*window, 2 * edge + 1, fold * i, fold * o)
    return _plain(x.reshape(*outer, width // fold, fold * i), placed).reshape(*outer, width, o)


def _halved(x: Array, kernel: Array) -> Array:
    return _convolved(x, kernel, kernel.shape[:-2], "VALID")


def _halved_folded(x: Array, kernel: Array) -> Array:
    *window, _, i, o = kernel.shape
    *outer, width, _ = x.shape
    return _halved(x.reshape(*outer, width // 2, 2 * i), kernel.reshape(*window, 1, 2 * i, o))


def _doubled(x: Array, kernel: Array, bias: Array) -> Array:
    return nearest(x @ kernel + bias)


def _doubled_at_once(x: Array, kernel: Array, bias: Array) -> Array:
    *spatial, _ = x.shape
    rank, o = len(spatial), len(bias)
    fold = 2 if o <= LANES // 2 else 1
    window = (*(2,) * (rank - 1), 2 // fold)
    kernel = jnp.broadcast_to(jnp.tile(kernel, fold), (*window, len(kernel), fold * o))
    padding = [(size - 1, size - 1) for size in window]
    fine = _convolved(x, kernel, (1,) * rank, padding, dilation=window) + jnp.tile(bias, fold)
    return fine.reshape(*(2 * size for size in spatial), o)


def nearest(x: Float[Array, "*spatial channels"]) -> Float[Array, "*fine channels"]:
    """Each pixel twice along every spatial axis."""
    *spatial, channels = x.shape
    x = jnp.expand_dims(x, tuple(range(1, 2 * len(spatial), 2)))
    x = jnp.broadcast_to(x, (*(n for s in spatial for n in (s, 2)), channels))
    return x.reshape(*(2 * s for s in spatial), channels)
