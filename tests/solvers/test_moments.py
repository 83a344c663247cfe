"""Exact mean and covariance of the stochastic solvers on Gaussian data.

There the denoiser is affine, so every update is an affine map of (x, memory, z), and mean and covariance follow by
recursion: no Monte Carlo, no tolerance but rounding. `check_solver` asks that marginals stay marginals; here is also what
happens away from them, where η shows.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from solvers_table import STOCHASTIC, name

from jaxdiff.conformance.problems import GAUSSIAN as PROBLEM
from jaxdiff.conformance.problems import GaussianProblem
from jaxdiff.conformance.recursion import recursion
from jaxdiff.solvers import DDPM, DPMpp, EDMHeun
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

AFFINE = [solver for solver in STOCHASTIC if not isinstance(solver, PredictorCorrector)]
POINT = GaussianProblem(PROBLEM.mean, np.zeros((3, 3)))
LOW, HIGH = -2.0, 2.0
CALLS = (64, 128, 256)
GRIDS = [np.linspace(LOW, HIGH, n + 1) for n in CALLS]

pytestmark = pytest.mark.usefixtures("x64")


def slopes(errors) -> np.ndarray:
    """Fitted orders of errors (grids, kinds)."""
    return -np.polyfit(np.log(CALLS), np.log(errors), 1)[0]


@pytest.mark.parametrize("solver", AFFINE, ids=name)
def test_marginals_of_a_point_are_exact_at_any_step(solver):
    """With one possible x0, D is right everywhere, and each step is the exact one."""
    grid = np.array([-3.0, -2.2, -1.9, -0.5, 0.0, 1.2])
    ((mean, cov),) = recursion(solver, POINT, [grid], POINT.marginal(grid[0]))
    expected_mean, expected_cov = POINT.marginal(grid[-1])
    np.testing.assert_allclose(mean, expected_mean, atol=1e-12)
    np.testing.assert_allclose(cov, expected_cov, atol=1e-12)


def continuous_eta(solver) -> float:
    """(★)'s η that the solver tends to. EDM's churn adds √2 √(churn/n) σ of noise over the step (HIGH − LOW)/n."""
    if isinstance(solver, EDMHeun):
        return float(np.sqrt(solver.churn / (HIGH - LOW)))
    return float(getattr(solver, "eta", 1.0))


@pytest.mark.parametrize("solver", AFFINE, ids=name)
def test_moments_converge_to_those_of_the_sde(solver):
    """Weak order one, from a mean off the marginal's, and from no spread at all; the marginal comes out of itself."""
    start = PROBLEM.marginal(LOW)[0] + np.array([1.0, -2.0, 0.5])
    for spread in (np.zeros((3, 3)), PROBLEM.marginal(LOW)[1]):
        wanted = PROBLEM.transition(start, spread, LOW, HIGH, continuous_eta(solver))
        reached = recursion(solver, PROBLEM, GRIDS, (start, spread))
        errors = np.array([[np.abs(got - right).max() for got, right in zip(end, wanted)] for end in reached])
        exact = errors[-1] < 1e-13  # the mean at η = 1, where D is a martingale
        assert np.all((slopes(errors) >= 0.85) | exact), (slopes(errors), errors)
        assert np.all(errors[-1] < 3.0 * (HIGH - LOW) / CALLS[-1]), errors
    np.testing.assert_allclose(wanted[1], PROBLEM.marginal(HIGH)[1], atol=1e-12)


@pytest.mark.parametrize("eta", [0.25, 0.5])
def test_mean_of_second_order_sde_solver_has_order_two(eta):
    start = PROBLEM.marginal(LOW)[0] + np.array([1.0, -2.0, 0.5])
    wanted = PROBLEM.transition(start, np.zeros((3, 3)), LOW, HIGH, eta)[0]
    reached = recursion(DPMpp(order=2, eta=eta), PROBLEM, GRIDS, (start, np.zeros((3, 3))))
    errors = [[np.abs(mean - wanted).max()] for mean, _ in reached]
    assert slopes(errors)[0] >= 1.85, errors


def test_ddpm_step_is_the_posterior_of_ho():
    """One step from a known x: moments of q(x_s | x_t, x0 = D) as DDPM writes them, with β̃ and the two weights."""
    x, (low, high) = np.array([0.3, -1.2, 2.0]), (-0.7, 0.4)
    mean, cov = recursion(DDPM(), PROBLEM, [np.array([low, high])], (x, np.zeros((3, 3))))[0]
    bar_t, bar_s = 1 / (1 + np.exp(-2 * low)), 1 / (1 + np.exp(-2 * high))  # ᾱ at t and one step on
    ratio = bar_t / bar_s  # α of the step
    x0 = np.asarray(PROBLEM.denoise(jnp.asarray(x.reshape(3, 1)), low)).reshape(-1)
    posterior = (np.sqrt(bar_s) * (1 - ratio) * x0 + np.sqrt(ratio) * (1 - bar_s) * x) / (1 - bar_t)
    np.testing.assert_allclose(mean, posterior, atol=1e-12)
    np.testing.assert_allclose(cov, (1 - bar_s) / (1 - bar_t) * (1 - ratio) * np.eye(3), atol=1e-12)
