"""float32 against float64, and finite values to both ends: 1,000 steps over λ ∈ [−10, 10]."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from march import march
from problems import PROBLEMS
from solvers_table import DETERMINISTIC, STOCHASTIC, name

PROBLEM = PROBLEMS["gaussian"]
GRID = np.linspace(-10, 10, 1000)
START = np.random.default_rng(0).normal(size=(4, 3, 1)).astype(np.float32)

each = pytest.mark.parametrize("solver", [*DETERMINISTIC, *STOCHASTIC], ids=name)


def rounded_noise(key, k, shape, dtype):
    """The same numbers in both precisions."""
    return jax.random.normal(jax.random.fold_in(key, k), shape, jnp.float32).astype(dtype)


@each
@pytest.mark.parametrize("final", ["denoise", "state"])
def test_a_thousand_steps(solver, final):
    got = march(solver, PROBLEM.denoise, GRID, START, final, rounded_noise)
    assert got.dtype == jnp.float32
    with jax.enable_x64(True):
        wanted = march(solver, PROBLEM.denoise, GRID, START.astype(np.float64), final, rounded_noise)
    np.testing.assert_allclose(got, wanted, atol=1e-4)


@each
@pytest.mark.parametrize("grid", [[-10.0], [-10.0, 10.0], [9.9, 10.0], [-10.0, -9.999, 0.0]], ids=str)
def test_no_nan_however_few_or_uneven_the_steps(solver, grid):
    for final in ("denoise", "state"):
        if len(grid) > 1 or final == "denoise":
            assert np.all(np.isfinite(march(solver, PROBLEM.denoise, grid, START, final)))
