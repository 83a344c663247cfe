"""Declared orders of convergence and the right limit: every deterministic solver on every problem."""

import diffrax
import jax
import numpy as np
import pytest
from march import march, march_from_exact_history
from problems import PROBLEMS
from solvers_table import DETERMINISTIC, name

from jaxdiff.sampling import sample
from jaxdiff.solvers import Stepped
from jaxdiff.solvers.multistep import LinearMultistep

LOW, HIGH = -2.0, 2.0
CALLS = (64, 128, 256, 512)


@pytest.fixture(scope="module", params=PROBLEMS)
def flow(request):
    """A problem, three start states at LOW, and its exact states at HIGH and along each grid's first values."""
    problem = PROBLEMS[request.param]
    with jax.enable_x64(True):
        x = np.random.default_rng(1).normal(size=(3, *problem.shape))
        grids = {n: np.linspace(LOW, HIGH, n + 1) for n in CALLS}
        lams = np.concatenate([[HIGH], *(grid[:4] for grid in grids.values())])
        states = problem.flow(x, LOW, lams)
        yield problem, x, grids, states[0], dict(zip(CALLS, states[1:].reshape(len(CALLS), 4, *x.shape)))


def fitted_order(calls, errors) -> float:
    """Slope of log error over log n."""
    return -np.polyfit(np.log(calls), np.log(errors), 1)[0]


@pytest.mark.parametrize("solver", DETERMINISTIC, ids=name)
def test_order_and_limit(solver, flow):
    problem, x, grids, end, starts = flow
    errors = []
    for n, grid in grids.items():
        if solver.convergence_order >= 3 and isinstance(solver, LinearMultistep):
            reached = march_from_exact_history(solver, problem.denoise, grid, starts[n])
        else:
            reached = march(solver, problem.denoise, grid, x)
        errors.append(np.abs(np.asarray(reached) - end).max())
    print(f"order {fitted_order(CALLS, errors):.2f}, declared {solver.convergence_order}")
    assert fitted_order(CALLS, errors) >= solver.convergence_order - 0.15, errors
    assert errors[-1] < 2.0 * ((HIGH - LOW) / CALLS[-1]) ** solver.convergence_order, errors


@pytest.mark.parametrize(
    ("solver", "order"), [(diffrax.Euler(), 1), (diffrax.Heun(), 2), (diffrax.Tsit5(), 5)], ids=str
)
def test_order_of_diffrax_solvers(solver, order, flow):
    problem, x, _, end, _ = flow
    calls = (16, 32, 64)
    errors = [
        np.abs(march(Stepped(solver), problem.denoise, np.linspace(LOW, HIGH, n + 1), x) - end).max() for n in calls
    ]
    assert fitted_order(calls, errors) >= order - 0.15, errors
    assert errors[-1] < 2.0 * ((HIGH - LOW) / calls[-1]) ** order, errors


def test_adaptive_diffrax_solver_reaches_the_limit(flow):
    problem, x, _, end, _ = flow
    options = dict(solver=diffrax.Tsit5(), grid=np.array([LOW, HIGH]), start=x, final="state")
    controller = diffrax.PIDController(rtol=1e-10, atol=1e-10)
    out = sample(jax.random.key(0), problem.denoise, shape=problem.shape, num=len(x), controller=controller, **options)
    np.testing.assert_allclose(out.images, end, atol=1e-8)
