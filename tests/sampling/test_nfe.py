"""`nfe` is what a callback counts, for diffrax's solvers; and no more than the batch pays for.

`check_solver` asks the same of ours.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from solvers_table import FOREIGN, FOREIGN_SDE, name

import jaxdiff as jd

GRID = np.linspace(-2.0, 2.0, 5)
calls = []


def counted(x, lam, cond):
    jax.debug.callback(lambda: calls.append(1))
    return 0.5 * x / (1 + x**2)


def counted_and_stiff(x, lam, cond):
    """Its first step is rejected several times."""
    jax.debug.callback(lambda: calls.append(1))
    return 30 * jnp.sin(20 * x)


def count(solver, denoise=counted, **options):
    """(nfe, calls that happened) of one image."""
    calls.clear()
    options = dict(solver=solver, grid=GRID, **options)
    out = jd.sample(jax.random.key(0), denoise, shape=(2, 1), num=1, **options)
    jax.block_until_ready(out.images)
    jax.effects_barrier()
    assert out.finite.all()
    return out.nfe, len(calls)


@pytest.mark.parametrize("solver", [*FOREIGN, diffrax.HalfSolver(diffrax.Tsit5())], ids=name)
def test_diffrax_on_the_ode(solver):
    nfe, happened = count(solver)
    assert nfe == happened


@pytest.mark.parametrize("solver", FOREIGN_SDE, ids=name)
def test_diffrax_on_the_sde(solver):
    nfe, happened = count(solver, eta=1.0)
    assert nfe == happened


@pytest.mark.parametrize(
    ("solver", "eta"), [(diffrax.Tsit5(), 0.0), (diffrax.HalfSolver(diffrax.Euler()), 1.0)], ids=str
)
def test_adaptive(solver, eta):
    nfe, happened = count(solver, eta=eta, controller=diffrax.PIDController(rtol=1e-2, atol=1e-2))
    assert nfe[0] == happened


@pytest.mark.parametrize("solver", [diffrax.Bosh3(), diffrax.HalfSolver(diffrax.Bosh3())], ids=name)
def test_adaptive_whose_first_step_is_rejected(solver):
    """A kept first stage is evaluated again in every try."""
    nfe, happened = count(solver, counted_and_stiff, controller=diffrax.PIDController(rtol=1e-2, atol=1e-2))
    assert nfe[0] == happened


def test_all_of_an_adaptive_batch_pay_for_its_slowest():
    stiff = lambda x, lam, cond: 0.5 * x / (1 + cond * x**2)  # noqa: E731
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)
    options = dict(solver=diffrax.Tsit5(), grid=GRID, cond=np.array([0.0, 900.0, 0.0, 0.0, 3.0]), batch=2)
    out = jd.sample(jax.random.key(0), stiff, shape=(2, 1), num=5, controller=controller, **options)
    assert out.nfe.shape == out.batch_nfe.shape == (5,)
    slowest = [max(out.nfe[0], out.nfe[1])] * 2 + [max(out.nfe[2], out.nfe[3])] * 2 + [out.nfe[4]]
    np.testing.assert_array_equal(out.batch_nfe, slowest)
    assert out.nfe[1] > out.nfe[0]
