"""Grid and weights by least squares: Levenberg and Marquardt's method on the whole sampler.

A sampler of n calls has a few dozen numbers and each image gives thousands of residuals, so the Gauss-Newton matrix says
far more than a gradient: its Jacobian comes by forward differentiation, one tangent a number, through the same kernel
that samples. Tens of iterations replace thousands of gradient steps.

Learned samplers: Watson et al. 2022 (arXiv 2202.05830); grids: Sabour et al. 2024 (AYS, arXiv 2404.14507), Chen et al.
2024 (GITS, arXiv 2405.11326); grids and coefficients: Frankel et al. 2025 (S4S, arXiv 2502.17423). Damping: Marquardt 1963
(doi:10.1137/0111030).
"""

from collections.abc import Callable
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdiff.denoiser import Denoiser
from jaxdiff.sampling import sample
from jaxdiff.sampling.solve import OnRows
from jaxdiff.solvers import Tuned
from jaxdiff.solvers.multistep import Kernel
from jaxdiff.tuning.parameters import flatten, free, rows, start, tuned, unflatten
from jaxdiff.tuning.teacher import Examples

HELD_OUT = 0.25  # share of the examples that choose the iteration


def fit(
    denoise: Denoiser,
    examples: Examples,
    grid: Float[np.ndarray, " calls"],
    *,
    ends: tuple[float, float],
    order: Literal[1, 2, 3] = 2,
    depth: int | None = None,
    iterations: int = 30,
    batch: int = 16,
    report: Callable[[int, float, float], Any] = lambda iteration, fitted, held_out: None,
) -> Tuned:
    """A sampler of `len(grid)` calls with the least rms against `examples`, starting from `DPMpp(order)` on `grid`.

    ends: λ that the grid may not leave (a schedule's `lam_min`, `lam_max`). depth: values in reach, at most 8 by default.
    batch: images differentiated at once. Three quarters of the examples are fitted; the iteration that is best on the rest
    is returned, the start among them. `report(iteration, rms fitted, rms held out)` is called after each.
    Raises `ValueError` for fewer than 8 examples or a grid outside `ends`.
    """
    grid = np.asarray(grid, np.float64)
    num = len(examples.start)
    low, high = ends
    if num < 8:
        raise ValueError(f"got {num} examples; expected at least 8, some hundreds for a good result")
    if grid[0] < low - 1e-9 or grid[-1] > high + 1e-9:
        raise ValueError(f"got a grid from {grid[0]:.4g} to {grid[-1]:.4g}; expected values inside ends={ends}")
    depth = min(len(grid), 8) if depth is None else depth
    parameters = start(grid, order, depth, ends)
    flat, unravel = flatten(parameters), lambda theta: unflatten(theta, len(grid), depth)
    learned = np.flatnonzero(free(len(grid), depth))
    fitted_num = num - max(1, int(HELD_OUT * num))
    fitted, held_out = examples.part(0, fitted_num), examples.part(fitted_num, num)

    def rms_held_out(theta) -> float:
        solver = tuned(unravel(theta), ends)
        out = sample(
            jax.random.key(0), denoise, shape=examples.start.shape[1:], num=num - fitted_num, solver=solver,
            cond=held_out.cond, start=held_out.start, batch=min(64, num - fitted_num),
        )  # fmt: skip
        return held_out.rms(out.images)

    def evaluate(theta, jacobian: bool):
        """Sums over the fitted examples: residual², and with `jacobian` the Gauss-Newton matrix and gradient."""
        sums: Any = 0.0
        for at in range(0, fitted_num, batch):
            chunk = fitted.part(at, at + batch)
            size = len(chunk.start)
            # a short last chunk is filled up with examples of weight 0, so that one program serves all
            pad = np.minimum(np.arange(batch), size - 1)
            weight = jnp.asarray(np.arange(batch) < size, chunk.start.dtype)
            chunk = jax.tree.map(lambda leaf, pad=pad: jnp.asarray(leaf)[pad], chunk)
            part = _sums(denoise, np.asarray(theta), learned, chunk, weight, depth, ends, jacobian)
            part = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), part)
            sums = part if isinstance(sums, float) else jax.tree.map(np.add, sums, part)
        return sums

    count = fitted_num * int(np.prod(examples.start.shape[1:]))
    theta, damping = flat, 1e-2
    best, best_rms = flat, rms_held_out(flat)
    square, matrix, gradient = evaluate(theta, True)
    report(0, float(np.sqrt(square / count)), best_rms)
    for iteration in range(1, iterations + 1):
        improved = False
        for _ in range(8):
            scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
            change = -np.linalg.solve(matrix + damping * np.diag(scale), gradient)
            tried = theta.copy()
            tried[learned] += change
            (tried_square,) = evaluate(tried, False)
            if np.isfinite(tried_square) and tried_square < square:
                improved, damping = True, max(damping / 3.0, 1e-7)
                break
            damping *= 4.0
        if not improved:
            break
        gained = 1.0 - tried_square / square
        theta = tried
        square, matrix, gradient = evaluate(theta, True)
        held = rms_held_out(theta)
        if held < best_rms:
            best, best_rms = theta, held
        report(iteration, float(np.sqrt(square / count)), held)
        if gained < 1e-4:
            break
    return tuned(unravel(best), ends)


@eqx.filter_jit
def _sums(denoise, theta, learned, chunk: Examples, weight, depth: int, ends, jacobian: bool):
    """Of one chunk: Σ w r², and with `jacobian` Σ w JᵀJ and Σ w Jᵀr."""
    calls = (len(theta) - 1) // (2 + depth)

    def residual(values, example: Examples):
        changed = jnp.asarray(theta, example.start.dtype).at[learned].set(values)
        table = rows(unflatten(changed, calls, depth), ends)
        solve = OnRows(Kernel(depth), table, table.at.lam[-1], "denoise", None, diffrax.ForwardMode())
        solved = solve(lambda x, lam: denoise(x, lam, example.cond), jax.random.key(0), jnp.asarray(example.start))
        return (solved.image - example.images).reshape(-1)

    def of_one(example: Examples, w):
        values = jnp.asarray(theta[learned], example.start.dtype)
        r = residual(values, example)
        if not jacobian:
            return (w * jnp.sum(r**2),)
        j = jax.jacfwd(residual)(values, example)
        return w * jnp.sum(r**2), w * (j.T @ j), w * (j.T @ r)

    return jax.tree.map(lambda leaf: jnp.sum(leaf, 0), jax.vmap(of_one)(chunk, weight))
