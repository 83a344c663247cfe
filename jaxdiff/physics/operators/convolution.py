"""Blur by a point spread function."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.physics.operators.base import LinearOperator

MODES = {"reflect": "symmetric", "zero": "constant"}


class Convolution(LinearOperator):
    """x convolved with a PSF, its centre the middle of an array of odd sizes, by FFT; channel by channel alike.

    boundary: what lies beyond the edges of x: its mirror image, the edge pixels repeated ("reflect"), nothing ("zero"), or x
        again ("periodic"). With the first two x is padded by half the PSF, and the transform is of size n + k − 1.
    A PSF of sum 1 keeps a constant with "reflect" and "periodic", and all light of "periodic".
    Raises ValueError for a PSF of even sizes, or with half of it wider than x.
    """

    psf: Float[Array, "*support"]
    boundary: Literal["reflect", "zero", "periodic"] = eqx.field(static=True, default="reflect")

    def __check_init__(self):
        if not all(n % 2 for n in self.psf.shape):
            raise ValueError(
                f"got a PSF of shape {self.psf.shape}; expected odd sizes, the centre in the middle; to fix: pad or crop it"
            )
        if self.boundary not in ("periodic", *MODES):
            raise ValueError(f"got boundary={self.boundary!r}; expected 'reflect', 'zero' or 'periodic'")

    def __call__(self, x):
        self._check(x)
        return self._crop(self._circular(self._padded(x), adjoint=False))

    def adjoint(self, y):
        self._check(y)
        margins = [(k // 2, k // 2) for k in self.psf.shape] + [(0, 0)]
        wide = y if self.boundary == "periodic" else jnp.pad(y, margins)
        wide = self._circular(wide, adjoint=True)
        (out,) = jax.linear_transpose(self._padded, y)(wide)
        return out

    def pseudo_inverse(self, y, rcond: float = 1e-6):
        """A⁺ y of "periodic", frequencies below `rcond` of the largest left out."""
        if self.boundary != "periodic":
            return super().pseudo_inverse(y)
        return self.damped_inverse(y, jnp.inf, rcond)

    def damped_inverse(self, y, most, rcond: float = 1e-6):
        if self.boundary != "periodic":
            return super().damped_inverse(y, most)
        self._check(y)
        otf = self._otf(y.shape[:-1], y.dtype)
        size = jnp.abs(otf)
        nonzero = size > rcond * size.max()
        size = jnp.where(nonzero, size, 1)
        return _filtered(y, jnp.where(nonzero, jnp.conj(otf) / size * jnp.minimum(1 / size, most), 0))

    def _check(self, x):
        half = [k // 2 for k in self.psf.shape]
        if len(half) != x.ndim - 1 or any(h > n for h, n in zip(half, x.shape)):
            raise ValueError(
                f"got x of shape {x.shape} and a PSF of shape {self.psf.shape}; expected as many spatial axes, and no PSF "
                "wider than twice x; to fix: crop the PSF to where it is more than nothing"
            )

    def _padded(self, x):
        if self.boundary == "periodic":
            return x
        return jnp.pad(x, [(k // 2, k // 2) for k in self.psf.shape] + [(0, 0)], mode=MODES[self.boundary])

    def _crop(self, wide):
        if self.boundary == "periodic":
            return wide
        return wide[tuple(slice(k // 2, n - k // 2) for k, n in zip(self.psf.shape, wide.shape))]

    def _circular(self, x, adjoint: bool):
        otf = self._otf(x.shape[:-1], x.dtype)
        return _filtered(x, jnp.conj(otf) if adjoint else otf)

    def _otf(self, spatial, dtype):
        """The transform of the PSF on the grid of x; a PSF larger than the grid wraps around."""
        grid = jnp.zeros(spatial, dtype)
        places = [(jnp.arange(k) - k // 2) % n for k, n in zip(self.psf.shape, spatial)]
        return jnp.fft.rfftn(grid.at[jnp.ix_(*places)].add(self.psf.astype(dtype)))


def _filtered(x, transfer):
    axes = tuple(range(x.ndim - 1))
    return jnp.fft.irfftn(jnp.fft.rfftn(x, axes=axes) * transfer[..., None], x.shape[:-1], axes=axes).astype(x.dtype)
