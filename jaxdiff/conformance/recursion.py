"""Exact mean and covariance along the rows of a solver, on Gaussian data.

There the denoiser is affine. Where the update is too, its matrices come from `jax.jacobian`, and mean and covariance follow
by recursion, with no tolerance but rounding; where it bends a little, with a tolerance of what it bends by.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdiff.conformance.march import padded, quick_jit
from jaxdiff.conformance.problems import GaussianProblem, asked
from jaxdiff.solvers.base import Rows, Solver, tabulate

CHUNK = 512
"""Rows of one call, to which tables are padded: one compiled program for all."""
AFFINE = 1e-9
NEARLY = 1e-3
"""Distance from affine up to which the local linear maps are taken; moments are then known to what the update bends by."""
TAIL, USUAL = 10.0, 3.0
ROWS = 30.0
"""How many times the bend of a row of the coarsest grids that of all rows may be."""


class Maps(NamedTuple):
    """One row each: x and memory, flat, become keep @ (x, memory) + fresh @ z + shift."""

    keep: Any
    fresh: Any
    shift: Any
    rest: Any
    """How far the update of large values is from this, in units of what it returns."""
    near: Any
    """How far that of usual ones is, in their own unit."""


class Reached(list):
    """Pairs of mean and covariance, flat, one for each grid."""

    bend: float = 0.0
    """How far the update of usual values is from affine."""

    @property
    def doubt(self) -> float:
        """What the bend of all rows may change of the moments."""
        return ROWS * self.bend


@quick_jit
def _affine(solver, denoise, rows, begins, carry, shape):
    """The maps of rows along two ways, which begin anew where `begins`; where the ways are, and the first matrix.

    Memory that is no array of real numbers, and what is the same on both ways, such as a counter of steps, is not a
    random variable: it is what it is at each row.
    """
    draw = lambda i, size: jax.random.normal(jax.random.key(i), (size,))  # noqa: E731

    def first(x):
        state, counts = eqx.partition(_state(solver, x), eqx.is_inexact_array)
        return ravel_pytree(state)[0], counts

    zero = jnp.zeros(shape)
    state, _ = eqx.partition(_state(solver, zero), eqx.is_inexact_array)
    flat, unravel = ravel_pytree(state)
    noise = max(solver.noises, 1) * zero.size if solver.stochastic else 0
    z_shape = shape if solver.noises == 1 else (solver.noises, *shape)
    # Of heavy tails, so that what is clipped or saturates is not taken for affine.
    tail = TAIL * draw(1, flat.size) * jnp.exp(draw(2, flat.size))
    z, z_far = draw(3, noise), TAIL * draw(4, noise)
    starts = [first(x.reshape(shape)) for x in (draw(0, zero.size), tail[: zero.size])]

    def update(row, state, z, counts):
        x, memory = eqx.combine(unravel(state), counts)
        z = z.reshape(z_shape) if solver.stochastic else None
        state, counts = eqx.partition(solver.update(asked(denoise), x, row.at, row.to, z, memory), eqx.is_inexact_array)
        return ravel_pytree(state)[0], counts

    def along(ways, at):
        row, begin = at
        ways = jax.tree.map(lambda start, way: jnp.where(begin, start, way), starts, ways)
        moved = [update(row, state, z, counts) for (state, counts), z in zip(ways, (z, z_far), strict=True)]
        return jax.tree.map(lambda new, old: new.astype(old.dtype), moved, ways), ways

    carry, ways = jax.lax.scan(along, carry, (rows, begins))

    def maps(row, near_way, far_way):
        (near, counts), (other, other_counts) = near_way, far_way
        moved = lambda state, z: update(row, state, z, counts)[0]  # noqa: E731
        keep, fresh = jax.jacobian(moved, (0, 1))(near, z)
        shift = moved(near, z) - keep @ near - fresh @ z
        distance = lambda got, state, z: jnp.abs(got - (keep @ state + fresh @ z + shift)).max()  # noqa: E731
        far, usual = (jnp.where(near == other, near, state) for state in (tail, near + USUAL * draw(5, flat.size)))
        got = moved(far, z_far)
        rest = distance(got, far, z_far) / (1.0 + jnp.abs(got).max())
        same = [jnp.all(a == b) for a, b in zip(*map(jax.tree.leaves, (counts, other_counts)), strict=True)]
        return Maps(
            keep,
            fresh,
            shift,
            jnp.where(jnp.all(jnp.array([True, *same])), rest, jnp.inf),
            distance(moved(usual, -z), usual, -z),
        )

    begin = jax.jacobian(lambda x: first(x)[0])(zero).reshape(flat.size, zero.size)
    return jax.vmap(maps)(rows, *ways), carry, (begin, first(zero)[0])


def row_maps(solver: Solver, problem: GaussianProblem, rows: Rows, begins=(0,)) -> tuple[Maps, tuple]:
    """The maps of all rows, and matrix and shift from x to the first (x, memory); rows `begins` are the first of a run."""
    number = len(rows.last)
    rows = jax.tree.map(np.asarray, padded(rows, np.float64, CHUNK))
    first = np.zeros(len(rows.last), bool)
    first[list(begins)] = True
    parts, begin = [], ()
    state, counts = eqx.partition(_state(solver.kernel, jnp.zeros(problem.shape)), eqx.is_inexact_array)
    carry = jax.tree.map(jnp.zeros_like, [(ravel_pytree(state)[0], counts)] * 2)
    for low in range(0, number, CHUNK):
        chunk = slice(low, low + CHUNK)
        part = jax.tree.map(lambda leaf, chunk=chunk: jnp.asarray(leaf[chunk]), rows)
        maps, carry, begin = _affine(
            solver.kernel, problem.denoise, part, jnp.asarray(first[chunk]), carry, problem.shape
        )
        parts.append(jax.tree.map(np.asarray, maps))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:number], *parts)
    return joined, tuple(map(np.asarray, begin))


def _state(kernel: Any, x) -> tuple:
    return x, jax.tree.map(jnp.asarray, kernel.memory(x))


def recursion(solver: Solver, problem: GaussianProblem, grids, *starts) -> Any:
    """Mean and covariance (flat) of x after each of `grids`, from `starts`, pairs at their first value; float64.

    Returns a `Reached` for each start, or the only one. Raises `ValueError` where the update is not affine in (x, memory, z),
    nor nearly.
    """
    tables = [tabulate(solver, grid, "state") for grid in grids]
    lengths = [len(table.last) for table in tables]
    begins = np.cumsum([0, *lengths[:-1]])
    maps, (begin, offset) = row_maps(
        solver, problem, jax.tree.map(lambda *leaves: np.concatenate(leaves), *tables), begins
    )
    bend = float(maps.rest.max())
    if not bend < NEARLY:
        raise ValueError(f"got an update that is {bend:.1e} from affine; expected an affine one")
    size = begin.shape[1]
    # All starts at once, as one stack of matrices.
    mean0, cov0 = (np.stack([np.asarray(start[i]) for start in starts]) for i in (0, 1))
    ends = []
    for low, length in zip(begins, lengths, strict=True):
        mean, cov = mean0 @ begin.T + offset, begin @ cov0 @ begin.T
        rows = slice(low, low + length)
        for keep, fresh, shift in zip(maps.keep[rows], maps.fresh[rows], maps.shift[rows], strict=True):
            mean, cov = mean @ keep.T + shift, keep @ cov @ keep.T + fresh @ fresh.T
        ends.append((mean[:, :size], cov[:, :size, :size]))
    by_start = [Reached((mean[i], cov[i]) for mean, cov in ends) for i in range(len(starts))]
    for reached in by_start:
        reached.bend = float(maps.near.max())
    return by_start[0] if len(starts) == 1 else by_start
