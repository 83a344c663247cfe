"""Exact mean and covariance along the rows of a solver, on Gaussian data.

There the denoiser is affine. Where the update is too, its matrices come from `jax.jacobian`, and mean and covariance follow
by recursion, with no tolerance but rounding.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdiff.conformance.march import padded, quick_jit
from jaxdiff.conformance.problems import GaussianProblem
from jaxdiff.solvers.base import Rows, Solver, tabulate

CHUNK = 512
"""Rows of one call, to which tables are padded: one compiled program for all."""
AFFINE = 1e-9
TAIL = 10.0


class Maps(NamedTuple):
    """One row each: x and memory, flat, become keep @ (x, memory) + fresh @ z + shift."""

    keep: Any
    fresh: Any
    shift: Any
    rest: Any
    """How far the update of large values is from this, in units of what it returns."""


@quick_jit
def _affine(solver, denoise, rows, shape):
    zero = jnp.zeros(shape)
    flat, unravel = ravel_pytree((zero, solver.memory(zero)))
    draw = lambda i, size: jax.random.normal(jax.random.key(i), (size,))  # noqa: E731
    noise = max(solver.noises, 1) * zero.size if solver.stochastic else 0
    z_shape = shape if solver.noises == 1 else (solver.noises, *shape)
    # Of heavy tails, so that what is clipped or saturates is not taken for affine.
    near, far = draw(0, flat.size), TAIL * draw(1, flat.size) * jnp.exp(draw(2, flat.size))
    z, z_far = draw(3, noise), TAIL * draw(4, noise)

    def update(row, state, z):
        x, memory = unravel(state)
        called = lambda x, lam: denoise(x, lam, None)  # noqa: E731
        z = z.reshape(z_shape) if solver.stochastic else None
        return ravel_pytree(solver.update(called, x, row.at, row.to, z, memory))[0]

    def maps(row):
        keep, fresh = jax.jacobian(update, (1, 2))(row, near, z)
        shift = update(row, near, z) - keep @ near - fresh @ z
        got = update(row, far, z_far)
        rest = jnp.abs(got - (keep @ far + fresh @ z_far + shift)).max() / (1.0 + jnp.abs(got).max())
        return Maps(keep, fresh, shift, rest)

    begin = jax.jacobian(lambda x: ravel_pytree((x, solver.memory(x)))[0])(zero)
    return jax.vmap(maps)(rows), begin.reshape(flat.size, zero.size)


def row_maps(solver: Solver, problem: GaussianProblem, rows: Rows) -> tuple[Maps, np.ndarray]:
    """The maps of all rows, and the matrix from x to the first (x, memory)."""
    number = len(rows.last)
    rows = jax.tree.map(np.asarray, padded(rows, np.float64, CHUNK))
    parts = []
    for low in range(0, number, CHUNK):
        chunk = slice(low, low + CHUNK)
        part = jax.tree.map(lambda leaf, chunk=chunk: jnp.asarray(leaf[chunk]), rows)
        parts.append(jax.tree.map(np.asarray, _affine(solver.kernel, problem.denoise, part, problem.shape)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:number], *(maps for maps, _ in parts)), parts[0][1]


def recursion(solver: Solver, problem: GaussianProblem, grids, *starts) -> list:
    """Mean and covariance (flat) of x after each of `grids`, from `starts`, pairs at their first value; float64.

    Returns one list for each start, or the only one. Raises `ValueError` where the update is not affine in (x, memory, z).
    """
    tables = [tabulate(solver, grid, "state") for grid in grids]
    maps, begin = row_maps(solver, problem, jax.tree.map(lambda *leaves: np.concatenate(leaves), *tables))
    if not maps.rest.max() < AFFINE:
        raise ValueError(f"got an update that is {maps.rest.max():.1e} from affine; expected an affine one")
    size = begin.shape[1]
    # All starts at once, as one stack of matrices.
    mean0, cov0 = (np.stack([np.asarray(start[i]) for start in starts]) for i in (0, 1))
    ends, low = [], 0
    for table in tables:
        mean, cov = mean0 @ begin.T, begin @ cov0 @ begin.T
        high = low + len(table.last)
        for keep, fresh, shift in zip(maps.keep[low:high], maps.fresh[low:high], maps.shift[low:high], strict=True):
            mean, cov = mean @ keep.T + shift, keep @ cov @ keep.T + fresh @ fresh.T
        ends.append((mean[:, :size], cov[:, :size, :size]))
        low = high
    by_start = [[(mean[i], cov[i]) for mean, cov in ends] for i in range(len(starts))]
    return by_start[0] if len(starts) == 1 else by_start
