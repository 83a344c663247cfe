"""The numbers that are learned, and the table that they mean.

Rows are written as the exponential Euler step from λ_k to λ_{k+1}, D replaced by a combination of the values so far:

    x_{k+1} = (1 + a_k) (σ_{k+1}/σ_k) x_k + α_{k+1} (1 − e^(−h_k)) Σ_j c_kj D_{k−j}
    image   = a_n x_n + Σ_j c_nj D_{n−j}

so that moving a λ moves its neighbours' weights as it should. λ stays inside the schedule and rises: λ_k = low +
(high − low) Σ_{i≤k} softmax(z)_i. Start: DPM-Solver++ on a grid, a = 0.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.process.gaussian import alpha, namespace, sigma
from jaxdiff.solvers import DPMpp, Tuned
from jaxdiff.solvers.base import Point, Rows
from jaxdiff.solvers.multistep import Weights


class Parameters(NamedTuple):
    """z: (calls + 1,); a: (calls,); c: (calls, depth), newest first."""

    z: Array | np.ndarray
    a: Array | np.ndarray
    c: Array | np.ndarray


def start(
    grid: Float[np.ndarray, " calls"], order: Literal[1, 2, 3], depth: int, ends: tuple[float, float]
) -> Parameters:
    """Those of `DPMpp(order)` on `grid`, which lies inside `ends`."""
    low, high = ends
    gaps = np.maximum(np.diff(np.concatenate([[low], grid, [high]])), 1e-3 * (high - low))
    table = DPMpp(order).weights(Point.of(grid[:-1]), Point.of(grid[1:]))
    euler = alpha(grid[1:]) * -np.expm1(-np.diff(grid))
    c = np.zeros((len(grid), depth))
    width = min(depth, table.predictor_v.shape[1])
    c[:-1, :width] = table.predictor_v[:, :width] / euler[:, None]
    c[-1, 0] = 1.0
    return Parameters(np.log(gaps / gaps.sum()), np.zeros(len(grid)), c)


def flatten(parameters: Parameters) -> np.ndarray:
    """All parameters as one float64 vector on the host."""
    return np.concatenate([np.ravel(leaf) for leaf in parameters]).astype(np.float64)


def unflatten(theta, calls: int, depth: int) -> Parameters:
    """From a flat vector, NumPy or JAX."""
    z, a, c = theta[: calls + 1], theta[calls + 1 : 2 * calls + 1], theta[2 * calls + 1 :]
    return Parameters(z, a, c.reshape(calls, depth))


def free(calls: int, depth: int) -> np.ndarray:
    """Which of the flat parameters are learned: weights of calls that do not exist yet stay zero."""
    exists = np.arange(depth) <= np.arange(calls)[:, None]
    return np.concatenate([np.ones(2 * calls + 1, bool), exists.reshape(-1)])


def grid_and_table(parameters: Parameters, ends: tuple[float, float]) -> tuple[Any, Any, Any]:
    """grid, `state` and `values` of a `Tuned`; NumPy float64 for NumPy parameters, traceable for JAX arrays."""
    low, high = ends
    z, a, c = parameters
    xp = namespace(z)
    shares = xp.exp(z - xp.max(z))
    lam = low + (high - low) * xp.cumsum(shares / xp.sum(shares))[:-1]
    step = xp.diff(lam)
    state = xp.concatenate([(1.0 + a[:-1]) * sigma(lam[1:]) / sigma(lam[:-1]), a[-1:]])
    euler = xp.concatenate([alpha(lam[1:]) * -xp.expm1(-step), xp.ones(1)])
    return lam, state, euler[:, None] * c


def tuned(parameters: Parameters, ends: tuple[float, float]) -> Tuned:
    """The sampler, its table computed in float64 on the host."""
    return Tuned(*grid_and_table(Parameters(*(np.asarray(leaf, np.float64) for leaf in parameters)), ends))


def rows(parameters: Parameters, ends: tuple[float, float]) -> Rows:
    """The table for the kernel inside a traced function, which gradients go through."""
    lam, state, values = grid_and_table(parameters, ends)
    at = Point(lam, alpha(lam), sigma(lam))
    table = Weights.of(Point(np.empty(len(lam)), 0.0, 0.0), "x0", values.shape[1])
    table = jax.tree.map(jnp.asarray, table)._replace(predictor_y=state, predictor_v=values)
    return Rows(at._replace(weights=table), at, np.zeros(len(lam), bool))
