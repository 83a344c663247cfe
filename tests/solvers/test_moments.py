"""Exact mean and covariance of the stochastic solvers on Gaussian data.

There the denoiser is affine, so every update is an affine map of (x, memory, z). Its matrices come from `jax.jacobian`,
and mean and covariance follow by recursion: no Monte Carlo, no tolerance but rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from problems import PROBLEMS, GaussianProblem
from solvers_table import STOCHASTIC, name

from jaxdiff.solvers import DDPM, DPMpp
from jaxdiff.solvers.base import tabulate

PROBLEM = PROBLEMS["gaussian"]
POINT = GaussianProblem(PROBLEM.mean, np.zeros((3, 3)))
LOW, HIGH = -2.0, 2.0

pytestmark = pytest.mark.usefixtures("x64")


def moments(solver, problem, grid, mean, cov):
    """Mean and covariance (flat) of x after the rows of `grid`, from those at its first value."""
    shape, size = problem.shape, problem.mean.size
    denoise = problem.denoise
    rows = jax.tree.map(jnp.asarray, tabulate(solver, grid, "state"))
    flat, unravel = ravel_pytree((jnp.zeros(shape), solver.memory(jnp.zeros(shape))))

    def update(row, state, z):
        x, memory = unravel(state)
        return ravel_pytree(solver.update(denoise, x, row.at, row.to, z.reshape(shape), memory))[0]

    begin = lambda x: ravel_pytree((x.reshape(shape), solver.memory(x.reshape(shape))))[0]  # noqa: E731
    zero = jnp.zeros(size)
    first = np.asarray(jax.jacobian(begin)(zero))
    maps = jax.vmap(lambda row: (*jax.jacobian(update, (1, 2))(row, flat, zero), update(row, flat, zero)))(rows)

    mean, cov = first @ mean, first @ cov @ first.T
    for keep, fresh, shift in zip(*(np.asarray(leaf) for leaf in maps)):
        mean, cov = keep @ mean + shift, keep @ cov @ keep.T + fresh @ fresh.T
    return mean[:size], cov[:size, :size]


@pytest.mark.parametrize("solver", STOCHASTIC, ids=name)
def test_marginals_of_a_point_are_exact_at_any_step(solver):
    """With one possible x0, D is right everywhere, and each step is the exact one."""
    grid = np.array([-3.0, -2.2, -1.9, -0.5, 0.0, 1.2])
    mean, cov = moments(solver, POINT, grid, *POINT.marginal(grid[0]))
    expected_mean, expected_cov = POINT.marginal(grid[-1])
    np.testing.assert_allclose(mean, expected_mean, atol=1e-12)
    np.testing.assert_allclose(cov, expected_cov, atol=1e-12)


@pytest.mark.parametrize("solver", STOCHASTIC, ids=name)
def test_moments_converge_to_the_marginal(solver):
    """From the exact marginal at LOW to the exact one at HIGH, at least with order one."""
    calls, errors = (64, 128, 256), []
    for n in calls:
        reached = moments(solver, PROBLEM, np.linspace(LOW, HIGH, n + 1), *PROBLEM.marginal(LOW))
        errors.append([np.abs(got - wanted).max() for got, wanted in zip(reached, PROBLEM.marginal(HIGH))])
    order = -np.polyfit(np.log(calls), np.log(errors), 1)[0]
    assert np.all(order >= 0.85), (order, errors)
    assert np.all(np.array(errors[-1]) < 2.0 * (HIGH - LOW) / calls[-1]), errors


def test_mean_of_second_order_sde_solver_has_order_two():
    calls, errors = (64, 128, 256), []
    for n in calls:
        mean, _ = moments(DPMpp(order=2, eta=1.0), PROBLEM, np.linspace(LOW, HIGH, n + 1), *PROBLEM.marginal(LOW))
        errors.append(np.abs(mean - PROBLEM.marginal(HIGH)[0]).max())
    assert -np.polyfit(np.log(calls), np.log(errors), 1)[0] >= 1.85, errors


def test_ddpm_step_is_the_posterior_of_ho():
    """One step from a known x: moments of q(x_s | x_t, x0 = D) as DDPM writes them, with β̃ and the two weights."""
    x, (low, high) = np.array([0.3, -1.2, 2.0]), (-0.7, 0.4)
    mean, cov = moments(DDPM(), PROBLEM, np.array([low, high]), x, np.zeros((3, 3)))
    bar_t, bar_s = 1 / (1 + np.exp(-2 * low)), 1 / (1 + np.exp(-2 * high))  # ᾱ at t and one step on
    ratio = bar_t / bar_s  # α of the step
    x0 = np.asarray(PROBLEM.denoise(jnp.asarray(x.reshape(3, 1)), low)).reshape(-1)
    posterior = (np.sqrt(bar_s) * (1 - ratio) * x0 + np.sqrt(ratio) * (1 - bar_s) * x) / (1 - bar_t)
    np.testing.assert_allclose(mean, posterior, atol=1e-12)
    np.testing.assert_allclose(cov, (1 - bar_s) / (1 - bar_t) * (1 - ratio) * np.eye(3), atol=1e-12)
