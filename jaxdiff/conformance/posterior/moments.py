"""Mean and covariance of what a guided denoiser's samples are: by recursion where it is affine, else of samples.

On Gaussian images many methods are affine in x at each λ. Their matrices come from the images of a basis; with them mean and
covariance of all samples follow from those of the noise, without any chance (`moments_by_recursion`). Others (steps of
conjugate gradients, a step whose length depends on the residual) are sampled.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import march, quick_jit
from jaxdiff.conformance.posterior.problems import PRIORS, SHAPE, SIZE, Problem
from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior import Method
from jaxdiff.process.grids import uniform_lam
from jaxdiff.process.schedules import Cosine
from jaxdiff.solvers import DPMpp
from jaxdiff.solvers.base import tabulate
from jaxdiff.solvers.multistep import LinearMultistep

AFFINE = 1e-6
"""Largest distance of an affine denoiser from its matrices, over the values that it returns."""


class Moments(NamedTuple):
    """Of samples, flat."""

    mean: np.ndarray
    cov: np.ndarray
    samples: int | None
    """That they were measured on; None where they are exact."""


def grid_of(calls: int) -> np.ndarray:
    """The default grid of `calls` calls."""
    return uniform_lam(Cosine(), calls)


SOLVER = DPMpp(2, eta=1.0)
"""That of restoration: noise at each step."""


def affine(denoise: Denoiser, lams: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """K (n, d, d) and k (n, d) of D_y(x, λ) = K x + k, in float64; None where it is not affine."""
    basis = np.concatenate([np.zeros((1, SIZE)), np.eye(SIZE)])
    states = np.concatenate([basis, probes()]).reshape(-1, *SHAPE)
    values = np.asarray(at_all(denoise, jnp.asarray(states), jnp.asarray(lams))).reshape(len(lams), -1, SIZE)
    constant = values[:, 0]
    matrices = np.swapaxes(values[:, 1 : len(basis)] - constant[:, None], 1, 2)
    affine_values = np.einsum("nij,kj->nki", matrices, probes()) + constant[:, None]
    if not np.abs(affine_values - values[:, len(basis) :]).max() <= AFFINE * max(1.0, float(np.abs(values).max())):
        return None
    return matrices, constant


@functools.cache
def probes() -> np.ndarray:
    """(n, SIZE): states such as sampling meets, noise and images of both priors, three times as large, dark and bright.

    One state may miss what is not affine: half of all are on the other side of any threshold, and some are far out.
    """
    rng = np.random.default_rng(1)
    images = [
        prior.mean.reshape(-1) + rng.normal(size=(4, SIZE)) @ np.linalg.cholesky(prior.cov).T
        for prior in PRIORS.values()
    ]
    states = np.concatenate([rng.normal(size=(8, SIZE)), *images])
    bright = np.linspace(-2.5, 2.5, 16)[:, None] + 0.3 * rng.normal(size=(16, SIZE))
    return np.concatenate([states, -3.0 * states, bright])


@quick_jit
def at_all(denoise, states, lams):
    """D of every state at every λ, (lams, states, *shape)."""
    return jax.lax.map(lambda lam: jax.vmap(lambda x: denoise(x, lam, None))(states), lams)


def moments_by_recursion(
    solver: LinearMultistep, grid: np.ndarray, matrices: np.ndarray, constants: np.ndarray
) -> Moments:
    """Of D_y at the last λ of `grid`, from x ~ N(0, I) at the first; D_y = K x + k at each λ."""
    table = tabulate(solver, grid).at.weights
    depth = max(2, 1 + int(np.max(np.nonzero(table.predictor_v.any(axis=0))[0])))
    # State: x, then the newest values of D. `joint` is its covariance, as a square array of blocks.
    mean, joint = np.zeros(depth * SIZE), np.zeros((depth * SIZE,) * 2)
    joint[:SIZE, :SIZE] = np.eye(SIZE)
    for k, (K, constant) in enumerate(zip(matrices, constants, strict=True)):
        call = np.zeros((SIZE, depth * SIZE))
        call[:, :SIZE] = K
        if k == len(grid) - 1:
            return Moments(call @ mean + constant, call @ joint @ call.T, None)
        move = np.eye(depth * SIZE, k=-SIZE)  # older values move on
        move[SIZE : 2 * SIZE] = call
        weights = table.predictor_v[k]
        move[:SIZE] = weights[0] * call
        move[:SIZE, :SIZE] += table.predictor_y[k] * np.eye(SIZE)
        for age in range(1, depth):
            move[:SIZE, age * SIZE : (age + 1) * SIZE] += weights[age] * np.eye(SIZE)
        shift = np.zeros(depth * SIZE)
        shift[:SIZE], shift[SIZE : 2 * SIZE] = weights[0] * constant, constant
        mean, joint = move @ mean + shift, move @ joint @ move.T
        joint[:SIZE, :SIZE] += table.predictor_z[k] ** 2 * np.eye(SIZE)
    raise ValueError("got an empty grid; expected one call or more")


def moments_of_samples(denoise: Denoiser, calls: int, samples: int) -> Moments:
    """Of `samples` images, in float32."""
    start = np.random.default_rng(2).normal(size=(samples, *SHAPE)).astype(np.float32)
    images = np.asarray(march(SOLVER, denoise, grid_of(calls), start, "denoise"), np.float64)
    images = images.reshape(samples, SIZE)
    return Moments(images.mean(axis=0), np.cov(images.T), samples)


def moments_of(problem: Problem, method: Method | None, calls: tuple[int, ...], samples: int) -> list[Moments]:
    """Of a method at each number of calls; None: of the exact denoiser, in the same solver."""
    grids = [grid_of(n) for n in calls]
    with jax.enable_x64(True):
        exact = affine(problem.exact() if method is None else problem.guided(method), np.concatenate(grids))
    if exact is not None:
        ends = np.cumsum([len(grid) for grid in grids])[:-1]
        parts = zip(grids, *(np.split(part, ends) for part in exact), strict=True)
        return [moments_by_recursion(SOLVER, grid, K, k) for grid, K, k in parts]
    assert method is not None
    with jax.enable_x64(False):
        denoise = problem.guided(method)
        return [moments_of_samples(denoise, n, samples) for n in calls]


@functools.cache
def of_the_solver(problem: Problem, calls: tuple[int, ...]) -> list[Moments]:
    """What the solver makes of the exact denoiser: no method can do better."""
    return moments_of(problem, None, calls, 0)
