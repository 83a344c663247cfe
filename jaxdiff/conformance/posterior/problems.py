"""Correlated Gaussian images, what a microscope records of them, and what is then known of them, in closed form."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.analytic import Gaussian
from jaxdiff.conformance.problems import GaussianProblem
from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior import AbstractMeasurement, Measurement, Method
from jaxdiff.physics.operators import Bin, Convolution, Diagonal, LinearOperator, Mask, Slices
from jaxdiff.physics.psf import gaussian_psf

SHAPE = (8, 6, 1)
"""Of the images; not square, so that axes cannot be mixed up unseen."""
SIZE = 48
NOISES = (0.03, 0.1, 0.5)
"""Standard deviations of the noise; that of a pixel of the images is near 1."""
OPERATORS: dict[str, LinearOperator] = {
    "denoising": Diagonal(np.ones(())),  # type: ignore[arg-type]
    "blur": Convolution(np.asarray(gaussian_psf((1.0, 1.0))[1:-1, 1:-1]), "periodic"),  # type: ignore[arg-type]
    "binning": Bin((2, 2)),
    "mask": Mask(np.random.default_rng(0).random(SHAPE) < 0.5),  # type: ignore[arg-type]
    "slices": Slices(tuple(range(0, SHAPE[0], 2)), SHAPE[0]),
}


def _prior(covariance: Callable[[np.ndarray], np.ndarray], white: float) -> GaussianProblem:
    places = np.stack(np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij"), -1).reshape(-1, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    brightness = np.linspace(-0.6, 0.8, SIZE).reshape(SHAPE)
    return GaussianProblem(brightness, covariance(distances) + white * np.eye(SIZE))


PRIORS: dict[str, GaussianProblem] = {
    "rough": _prior(lambda r: 0.8 * np.exp(-r / 2.0), 0.02),
    "smooth": _prior(lambda r: np.exp(-(r**2) / (2 * 2.0**2)), 0.003),
}
"""Textures whose neighbours have a correlation of 0.59 and of 0.88; the latter leaves little to know of a pixel beside
others."""


class Matrix(LinearOperator):
    """A linear operator as a matrix on values in C order, with its singular values: one program for all operators."""

    matrix: Any
    left: Any
    singular: Any
    right: Any

    def __call__(self, x):
        return (self.matrix.astype(x.dtype) @ x.reshape(-1)).reshape(x.shape)

    def adjoint(self, y):
        return (self.matrix.T.astype(y.dtype) @ y.reshape(-1)).reshape(y.shape)

    def pseudo_inverse(self, y):
        return self.damped_inverse(y, jnp.inf)

    def damped_inverse(self, y, most):
        singular = self.singular.astype(y.dtype)
        nonzero = singular > 1e-6 * singular.max()
        gain = jnp.where(nonzero, jnp.minimum(1 / jnp.where(nonzero, singular, 1), most), 0)
        return (self.right.T.astype(y.dtype) @ (gain * (self.left.T.astype(y.dtype) @ y.reshape(-1)))).reshape(y.shape)


@functools.cache
def matrix_of(name: str) -> np.ndarray:
    """(SIZE, SIZE): the operator on flat images, below what it measures rows of zeros."""
    eye = jnp.eye(SIZE, dtype=jnp.float32).reshape(SIZE, *SHAPE)
    rows = np.asarray(jax.vmap(OPERATORS[name])(eye), np.float64).reshape(SIZE, -1).T
    return np.concatenate([rows, np.zeros((SIZE - len(rows), SIZE))])


@dataclass(frozen=True)
class Problem:
    """A recording y = scale · A x0 + noise · n of an image x0 of a prior."""

    operator: str
    prior: str
    noise: float
    scale: float = 1.0

    @property
    def matrix(self) -> np.ndarray:
        return self.scale * matrix_of(self.operator)

    @property
    def images(self) -> GaussianProblem:
        return PRIORS[self.prior]

    @functools.cached_property
    def y(self) -> np.ndarray:
        """The recording, flat; the same image and the same n for all operators and noises."""
        x0, n = np.random.default_rng(5).normal(size=(2, SIZE))
        truth = self.images.mean.reshape(-1) + np.linalg.cholesky(self.images.cov) @ x0
        return self.matrix @ truth + np.where(np.any(self.matrix != 0, axis=1), self.noise * n, 0)

    @functools.cached_property
    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of x0 given y, flat."""
        A, C = self.matrix, self.images.cov
        cov_y = A @ C @ A.T + self.noise**2 * np.eye(SIZE)
        gain = np.linalg.lstsq(cov_y, A @ C, rcond=1e-13)[0].T
        mean = self.images.mean.reshape(-1)
        return mean + gain @ (self.y - A @ mean), C - gain @ A @ C

    def exact(self) -> Gaussian:
        """The denoiser that every method approximates: D_y of the Gaussian posterior."""
        mean, cov = self.posterior
        variances, basis = np.linalg.eigh(cov)
        return Gaussian(mean.reshape(SHAPE), (basis * np.maximum(variances, 0)) @ basis.T)

    def guided(self, method: Method) -> Denoiser:
        """`method` of the prior's denoiser and of the recording, in the precision that JAX is in."""
        left, singular, right = np.linalg.svd(self.matrix)
        operator = Matrix(*map(jnp.asarray, (self.matrix, left, singular, right)))
        return denoiser_of(
            method, self.images.denoise, Measurement(operator=operator, y=self.y.reshape(SHAPE), noise=self.noise)
        )


class GuidedOnCall(eqx.Module):
    """A denoiser that `method` makes where it is called: what is no tree of arrays is made anew in each program."""

    method: Method = eqx.field(static=True)
    denoise: Denoiser
    measurement: AbstractMeasurement

    def __call__(self, x, lam, cond=None):
        return self.method(self.denoise, self.measurement)(x, lam, cond)


def denoiser_of(method: Method, denoise: Denoiser, measurement: AbstractMeasurement) -> Denoiser:
    """What `method` makes of them, as a tree of arrays."""
    guided = method(denoise, measurement)
    return guided if isinstance(guided, eqx.Module) else GuidedOnCall(method, denoise, measurement)
