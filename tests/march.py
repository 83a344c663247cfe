"""Walking along a solver's rows without `sample`: one compiled loop for every length of grid, and exact histories."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.process.gaussian import step_noise
from jaxdiff.solvers.base import Run, tabulate
from jaxdiff.solvers.multistep import DEPTH, LinearMultistep

CAPACITY = 2048


def march(solver, denoise, grid, x, final="state", noise=step_noise, start=0, state=None):
    """States x (num, *shape), at row `start`, after the last row of `grid`. `state`: the solver's, as at `start`."""
    x = jnp.asarray(x)
    rows = tabulate(solver, np.asarray(grid, np.float64), final)
    steps = len(rows.last)
    pad = lambda leaf: np.concatenate([leaf, np.repeat(leaf[-1:], CAPACITY - steps, 0)])  # noqa: E731
    rows = jax.tree.map(lambda leaf: jnp.asarray(pad(leaf), None if leaf.dtype == bool else x.dtype), rows)
    return _march(solver, denoise, rows, x, noise, jnp.asarray(start), jnp.asarray(steps), state)


@eqx.filter_jit
def _march(solver, denoise, rows, x, noise, start, steps, state):
    def one(index, x, state):
        key = jax.random.fold_in(jax.random.key(0), index)
        run = Run(lambda x, lam: denoise(x, lam, None), rows, lambda k: noise(key, k, x.shape, x.dtype), key)

        def body(k, carry):
            x, state = carry
            at = jnp.asarray(k, x.dtype)
            x, _, _, state, _ = solver.step(None, at, at + 1, x, run, state, False)
            return x, state

        state = solver.init(None, 0.0, 1.0, x, run) if state is None else state
        return jax.lax.fori_loop(start, steps, body, (x, state))[0]

    return jax.vmap(one)(jnp.arange(len(x)), x, state)


def march_from_exact_history(solver: LinearMultistep, denoise, grid, exact):
    """As `march`, from row 3 with x, y and values that the exact states `exact` (4, num, *shape) at grid[:4] give."""
    rows = tabulate(solver, grid, "state")
    w = rows.at.weights
    kept = [
        w.value_x[k] * exact[k] + w.value_d[k] * jax.vmap(lambda x, k=k: denoise(x, grid[k]))(jnp.asarray(exact[k]))
        for k in range(DEPTH - 1)
    ]
    state = (jnp.asarray(exact[DEPTH - 2]), tuple(jnp.asarray(value) for value in reversed(kept)))
    return march(solver, denoise, grid, exact[DEPTH - 1], start=DEPTH - 1, state=state)
