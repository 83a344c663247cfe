"""diffrax's stochastic solvers on (★) at η = 1: mean and variance of the marginal at the end of the grid."""

import diffrax
import jax
import numpy as np
import pytest

import jaxdiff as jd

MEAN, VARIANCE, NUM = 0.8, 0.3, 16384
OPTIMISED = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
"""Compiled as a user's program is: paths of so many images that choose their steps run for longer than they compile."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "controller"),
    [
        (diffrax.Euler(), None),
        (diffrax.ShARK(), None),
        (diffrax.HalfSolver(diffrax.ShARK()), diffrax.PIDController(rtol=1e-2, atol=1e-2, dtmin=1e-3)),
    ],
)
def test_marginal(solver, controller):
    start, end = -3.0, 1.5
    key, key_start = jax.random.split(jax.random.key(0))
    spread = np.sqrt(jd.alpha(start) ** 2 * VARIANCE + jd.sigma(start) ** 2)
    states = jd.alpha(start) * MEAN + spread * jax.random.normal(key_start, (NUM, 1))

    def run(states):
        return jd.sample(
            key,
            jd.analytic.Gaussian(np.array([MEAN]), np.array([VARIANCE])),
            shape=(1,),
            num=NUM,
            batch=NUM,
            solver=solver,
            controller=controller,
            eta=1.0,
            grid=np.linspace(start, end, 81),
            start=states,
            final="state",
        ).images

    x = np.asarray(run(states) if controller is None else jax.jit(run, compiler_options=OPTIMISED)(states), np.float64)
    variance = jd.alpha(end) ** 2 * VARIANCE + jd.sigma(end) ** 2
    # five standard errors, and 3 % for the step size of Euler's method
    assert abs(x.mean() - jd.alpha(end) * MEAN) < 5 * np.sqrt(variance / NUM)
    assert abs(x.var() / variance - 1) < 5 * np.sqrt(2 / NUM) + (0.03 if isinstance(solver, diffrax.Euler) else 0.01)
