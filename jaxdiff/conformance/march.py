"""Walking along a solver's rows without `sample`: the same table and the same step, in one compiled loop for all grids.

`sample` compiles a program for each length of grid, which a fit of convergence orders would pay many times. Here the
table is padded to one length and the number of rows is an argument; solvers of one kernel share the loop.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.conformance.problems import asked
from jaxdiff.denoiser import Denoiser
from jaxdiff.programs import Filtered
from jaxdiff.sampling import solve
from jaxdiff.solvers.base import Rows, RowSolver, SolveArgs, tabulate

CAPACITY = 4096
"""Tables are padded to a multiple of this many rows."""


def quick_jit(function: Callable) -> Filtered:
    """`kept_programs` of those that run for less time than they take to compile: on CPU without optimisation."""
    return Filtered(function, lambda: {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {})


def shared_noise(key, k, shape, dtype) -> Array:
    """Noise source of which float32 and float64 runs draw the same numbers."""
    return jax.random.normal(jax.random.fold_in(key, k), shape, jnp.float32).astype(dtype)


def silent(key, k, shape, dtype) -> Array:
    """Noise source without noise."""
    return jnp.zeros(shape, dtype)


def march(
    solver: RowSolver,
    denoise: Denoiser,
    grid,
    x: Float[Array | np.ndarray, "num *shape"],
    final: str = "state",
    noise: Callable = shared_noise,
    seed: int = 0,
    rows: Rows | None = None,
) -> Array:
    """The states x at grid[0] after the rows of `grid`, in x's dtype: those of `jd.sample(start=x)` but for the noise.

    final: as in `jd.sample`. noise: a source as `jd.sample` takes it; image i draws under `fold_in(key(seed), i)`.
    rows: the solver's table for `grid` and `final`, where it is at hand.
    """
    states, grid = jnp.asarray(x), np.asarray(grid, np.float64)
    rows = tabulate(solver, grid, final) if rows is None else rows
    steps = len(rows.last)
    if steps:
        table = padded(rows, states.dtype)
        states = _march(solver.kernel, denoise, table, states, noise, jax.random.key(seed), jnp.asarray(steps))
    return call(denoise, states, grid[-1]) if final == "denoise" and solver.calls_after else states


def padded(rows: Rows, dtype, capacity: int = CAPACITY) -> Rows:
    """The table as arrays of `dtype`, its last row repeated up to a multiple of `capacity` rows."""
    filled = solve.padded(rows, -(-len(rows.last) // capacity) * capacity)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype if leaf.dtype == bool else dtype), filled)


def take_step(kernel: RowSolver, denoise: Denoiser, rows: Rows, noise: Callable, key, k, x, state: Any):
    """One image's x and solver state after row k; `state` None: before the first step."""
    draw = lambda k: noise(key, k, x.shape, x.dtype)  # noqa: E731
    run = SolveArgs(asked(denoise), rows, draw, key, len(rows.last))
    at = jnp.asarray(k, x.dtype)
    if state is None:
        state = kernel.init(None, at, at + 1, x, run)
    x, _, _, state, _ = kernel.step(None, at, at + 1, x, run, state, False)
    return x, state


@quick_jit
def _march(kernel, denoise, rows, x, noise, key, steps):
    def one(index, x):
        image_key = jax.random.fold_in(key, index)
        body = lambda k, carry: take_step(kernel, denoise, rows, noise, image_key, k, *carry)  # noqa: E731
        return jax.lax.fori_loop(1, steps, body, body(0, (x, None)))[0]

    return jax.vmap(one)(jnp.arange(len(x)), x)


@quick_jit
def call(denoise: Denoiser, x, lam):
    """D of each of the states x at λ = `lam`."""
    return jax.vmap(lambda x: denoise(x, jnp.asarray(lam, x.dtype), None))(x)
