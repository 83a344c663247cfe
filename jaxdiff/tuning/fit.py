"""Grid and weights by least squares: Levenberg and Marquardt's method on the whole sampler.

A sampler of n calls has a few dozen numbers and each image gives thousands of residuals, so the Gauss-Newton matrix says
far more than a gradient: its Jacobian comes by forward differentiation, one tangent a number, through the same kernel
that samples. Tens of iterations replace thousands of gradient steps.

A few start noises lie where the flow parts, and end elsewhere under any sampler of few calls; their squares would outweigh
all others. So image errors ρ count by Huber's function, ρ² up to their median c and 2 c ρ − c² from there on.

Learned samplers: Watson et al. 2022 (arXiv 2202.05830); grids: Sabour et al. 2024 (AYS, arXiv 2404.14507), Chen et al.
2024 (GITS, arXiv 2405.11326); grids and coefficients: Frankel et al. 2025 (S4S, arXiv 2502.17423). Damping:
Marquardt 1963 (doi:10.1137/0111030); Huber 1964 (doi:10.1214/aoms/1177703732).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdiff.denoiser import Denoiser
from jaxdiff.programs import kept_programs
from jaxdiff.sampling.solve import OnRows
from jaxdiff.solvers import Tuned
from jaxdiff.solvers.multistep import DEPTH, Kernel
from jaxdiff.tuning.parameters import flatten, free, rows, start, tuned, unflatten
from jaxdiff.tuning.teacher import Examples


class Fixed(NamedTuple):
    """What does not change during a fit."""

    denoise: Denoiser
    learned: np.ndarray
    """Places of the flat parameters that are learned."""
    depth: int
    ends: tuple[float, float]


HELD_OUT = 0.25  # share of the examples that choose the iteration


def fit(
    denoise: Denoiser,
    examples: Examples,
    grid: Float[np.ndarray, " calls"],
    *,
    ends: tuple[float, float],
    order: Literal[1, 2, 3] = 2,
    depth: int = DEPTH,
    iterations: int = 30,
    batch: int = 16,
    report: Callable[[int, float, float], Any] = lambda iteration, fitted, held_out: None,
) -> Tuned:
    """A sampler of `len(grid)` calls as near as can be to `examples`, starting from `DPMpp(order)` on `grid`.

    Three quarters of the examples are fitted; the iteration that is best on the rest (mean of the images' rms) is returned,
    the start among them.

    Args:
        denoise: D(x, λ, cond) of one image.
        examples: start noise and where a fine solver takes it (`teach`), 8 or more.
        grid: (calls,) rising λ, where it starts from.
        ends: λ that the grid may not leave (a schedule's `lam_min`, `lam_max`).
        order: of the solver that it starts from.
        depth: values of D in reach.
        iterations: of the fit.
        batch: images differentiated at once.
        report: called after each iteration with (iteration, fitted, held out), these means.

    Returns:
        The solver with its grid.

    Raises:
        ValueError: for fewer than 8 examples or a grid outside `ends`.
    """
    grid = np.asarray(grid, np.float64)
    num, calls = len(examples.start), len(grid)
    if num < 8:
        raise ValueError(f"got {num} examples; expected at least 8, some hundreds for a good result")
    if grid[0] < ends[0] - 1e-9 or grid[-1] > ends[1] + 1e-9:
        raise ValueError(f"got a grid from {grid[0]:.4g} to {grid[-1]:.4g}; expected values inside ends={ends}")
    learned = np.flatnonzero(free(calls, depth))
    held_num = max(1, int(HELD_OUT * num))
    fitted, held_out = examples.part(0, num - held_num), examples.part(num - held_num, num)
    fixed = Fixed(denoise, learned, depth, ends)

    theta, damping = flatten(start(grid, order, depth, ends)), 1e-2
    errors = _errors(fixed, theta, fitted, batch)
    best, best_held = theta, float(np.mean(_errors(fixed, theta, held_out, batch)))
    report(0, float(np.mean(errors)), best_held)
    for iteration in range(1, iterations + 1):
        knee = float(np.median(errors))
        loss = np.sum(_huber(errors, knee))
        matrix, gradient = _normal_equations(fixed, theta, fitted, batch, knee)
        tried, tried_errors, gained = theta, errors, 0.0
        for _ in range(8):
            scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
            tried = theta.copy()
            tried[learned] -= np.linalg.solve(matrix + damping * np.diag(scale), gradient)
            tried_errors = _errors(fixed, tried, fitted, batch)
            gained = 1.0 - np.sum(_huber(tried_errors, knee)) / loss
            if gained > 0.0:
                damping = max(damping / 3.0, 1e-7)
                break
            damping *= 4.0
        if not gained > 0.0:
            break
        theta, errors = tried, tried_errors
        held_out_error = float(np.mean(_errors(fixed, theta, held_out, batch)))
        if held_out_error < best_held:
            best, best_held = theta, held_out_error
        report(iteration, float(np.mean(errors)), held_out_error)
        if gained < 1e-3:
            break
    return tuned(unflatten(best, calls, depth), ends)


def _huber(errors: np.ndarray, knee: float) -> np.ndarray:
    return np.where(errors <= knee, errors**2, 2.0 * knee * errors - knee**2)


def _errors(fixed: Fixed, theta, examples: Examples, batch: int) -> np.ndarray:
    """The rms of each image, NaN as ∞."""
    parts = [
        np.asarray(_chunk_errors(fixed, theta, chunk), np.float64)[:number]
        for chunk, number in _chunks(examples, batch)
    ]
    return np.nan_to_num(np.concatenate(parts), nan=np.inf)


def _normal_equations(
    fixed: Fixed, theta, examples: Examples, batch: int, knee: float
) -> tuple[np.ndarray, np.ndarray]:
    """Σ w JᵀJ and Σ w Jᵀr, w Huber's weight of the image."""
    matrix: Any = 0.0
    gradient: Any = 0.0
    for chunk, number in _chunks(examples, batch):
        counts = np.arange(batch) < number
        m, g = _chunk_normal_equations(fixed, theta, chunk, counts, np.asarray(knee))
        matrix, gradient = matrix + np.asarray(m, np.float64), gradient + np.asarray(g, np.float64)
    return matrix, gradient


def _chunks(examples: Examples, batch: int):
    """Chunks of one size, the last filled up with its last example, and how many of each count."""
    num = len(examples.start)
    for low in range(0, num, batch):
        rows = np.minimum(np.arange(low, low + batch), num - 1)
        yield jax.tree.map(lambda leaf, rows=rows: jnp.asarray(leaf)[rows], examples), min(batch, num - low)


def _residual(fixed: Fixed, theta, values, example: Examples):
    """Sampler minus image, flat, with `values` in the places `learned` of θ."""
    denoise, learned, depth, ends = fixed
    changed = jnp.asarray(theta, values.dtype).at[learned].set(values)
    table = rows(unflatten(changed, (len(theta) - 1) // (2 + depth), depth), ends)
    solve = OnRows(
        Kernel(depth), table, end=table.at.lam[-1], final="denoise", trajectory=None, adjoint=diffrax.ForwardMode()
    )
    x = jnp.asarray(example.start)
    image = solve(lambda x, lam: denoise(x, lam, example.cond), jax.random.key(0), x).image
    return (image - example.images).reshape(-1)


@kept_programs
def _chunk_errors(fixed: Fixed, theta, chunk: Examples):
    def one(example: Examples):
        values = jnp.asarray(theta[fixed.learned], example.start.dtype)
        return jnp.sqrt(jnp.mean(_residual(fixed, theta, values, example) ** 2))

    return jax.vmap(one)(chunk)


@kept_programs
def _chunk_normal_equations(fixed: Fixed, theta, chunk: Examples, counts, knee):
    def one(example: Examples, counted):
        def residual(values):
            r = _residual(fixed, theta, values, example)
            return r, r

        j, r = jax.jacfwd(residual, has_aux=True)(jnp.asarray(theta[fixed.learned], example.start.dtype))
        weight = counted * jnp.minimum(1.0, knee / jnp.sqrt(jnp.mean(r**2))) / r.size
        return weight * (j.T @ j), weight * (j.T @ r)

    matrix, gradient = jax.vmap(one)(chunk, counts)
    return jnp.sum(matrix, 0), jnp.sum(gradient, 0)
