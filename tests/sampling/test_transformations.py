"""Sampling inside JAX's transformations, against the same numbers computed eagerly.

Features are functions of one number (`benchmarks/transformations.py`, which prints all of them under all transformations).
Derivatives, of both modes, are compared with central differences in float64.
"""

from functools import partial

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from benchmarks.transformations import (
    CONTROLLER,
    DERIVATIVES,
    FEATURES,
    GRID,
    KEY,
    MIXTURE,
    SHAPE,
    START,
    VALUES,
    H,
    P,
    several,
)
from jaxdiff.solvers.base import tabulate

HERE = [
    *("trajectory", "eta of DPMpp", "grid of UniPC", "grid and eta of EDMHeun", "y of Replaced", "diffrax, eta"),
    *("adaptive", "guidance interval", "condition with None", "log_likelihood"),
]
ADAPTIVE = ("adaptive", "encode", "log_likelihood")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", HERE)
def test_features_traced_and_differentiated_both_ways(name):
    feature = FEATURES[name]
    eager, above, below = (np.asarray(feature(q)) for q in (P, P + H, P - H))
    # No adjoint of a loop of unknown length has both modes: forward mode is chosen where it is seen (`jd.sample`).
    inner = feature if name in ADAPTIVE else jax.jit(feature)

    def all_of_them(p):
        return *jax.jvp(inner, (p,), (jnp.ones(()),)), jax.jacrev(inner)(p)

    value, forward, reverse = jax.jit(all_of_them, compiler_options=QUICK)(jnp.asarray(P))
    np.testing.assert_allclose(value, eager, rtol=1e-10, atol=1e-12)
    tolerance = 1e-2 if name in ADAPTIVE else 1e-5  # of differences between runs that choose their own steps
    scale = np.abs(above - below).max() / (2 * H)
    assert scale > 1e-3
    np.testing.assert_allclose(forward, (above - below) / (2 * H), atol=tolerance * scale)
    np.testing.assert_allclose(reverse, forward, atol=1e-8 * scale)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_transformations_of_several_numbers_at_once():
    eager, above, below = (np.asarray(several(q)) for q in (P, P + H, P - H))
    wanted = (above - below) / (2 * H)
    derivatives = {name: DERIVATIVES[name] for name in ("jvp of vmap", "vmap of jacrev", "jacrev of checkpoint")}

    def all_of_them(p):
        return {name: of(several)(p) for name, of in {**VALUES, **derivatives}.items()}

    found = jax.jit(all_of_them, compiler_options=QUICK)(jnp.asarray(P))
    for name in VALUES:
        np.testing.assert_allclose(found[name], eager, rtol=1e-12, err_msg=name)
    for name in derivatives:
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-7, err_msg=name)


def test_adaptive_runs_report_their_calls_inside_a_program():
    def run(start):
        out = jd.sample(
            KEY,
            MIXTURE,
            shape=SHAPE,
            num=2,
            batch=1,
            solver=diffrax.Tsit5(),
            controller=CONTROLLER,
            grid=GRID,
            start=start,
        )
        return out.images, out.nfe, out.batch_nfe, out.finite

    start = START.astype(np.float32)
    for inside, eager in zip(jax.jit(run)(start), run(start), strict=True):
        np.testing.assert_allclose(inside, eager, rtol=1e-5)


SOLVERS = [jd.DPMpp(3, eta=0.7), jd.UniPC(3), jd.DEIS(3), jd.SASolver(3, eta=0.7), jd.DDIM(0.5), jd.EDMHeun(5.0)]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_traced_tables_are_those_of_the_host_in_single_precision(solver):
    """Steps from 0.05 to 1 between λ = −8 and 6: the error of single precision in λ over the step."""
    grid = np.cumsum(np.concatenate([[-8.0], np.tile([0.05, 0.3, 1.0, 0.6], 7)]))
    arrays, rest = eqx.partition(solver, eqx.is_array)

    @partial(jax.jit, compiler_options=QUICK)
    def traced(grid, arrays):
        return tabulate(eqx.combine(arrays, rest), grid)

    wanted = tabulate(solver, grid)
    got = traced(grid.astype(np.float32), jax.tree.map(np.float32, arrays))
    for at, of in zip(jax.tree.leaves(got.at.weights), jax.tree.leaves(wanted.at.weights), strict=True):
        rows = slice(0, len(grid) - 1)  # the last leads on by 1e-3 only, and is not used
        np.testing.assert_allclose(at[rows], of[rows], rtol=1e-4, atol=1e-5 * np.abs(of).max())
