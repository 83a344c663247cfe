"""Replacement of known pixels and steps taken again: distributions that are known."""

import jax
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian

RNG = np.random.default_rng
SHAPE = (2, 3, 1)
NUM = 4096
BASE = RNG(0).normal(size=(6, 6)) / 2
COV = BASE @ BASE.T + 0.2 * np.eye(6)
MEAN = 0.5 * RNG(1).normal(size=SHAPE)
PRIOR = Gaussian(MEAN, COV)
GRID = jd.grids.uniform_lam(jd.Cosine(), 20)


def drawn(solver, num=NUM, **options):
    out = jd.sample(jax.random.key(0), PRIOR, shape=SHAPE, num=num, batch=num, solver=solver, grid=GRID, **options)
    return np.asarray(out.images, np.float64).reshape(num, 6), out.nfe


@pytest.mark.parametrize("jump", [1, 3, 19])
def test_steps_taken_again_leave_the_distribution(jump):
    once, calls = drawn(jd.DDPM())
    again, more = drawn(jd.Renoised(jd.DDPM(), 4, jump=jump))
    assert (calls, more) == (20, 4 * 19 + 1)
    np.testing.assert_allclose(again.mean(axis=0), MEAN.ravel(), atol=4.5 * np.sqrt(np.diag(COV).max() / NUM))
    # The error of the steps does not grow by taking them again: it is that of one run, or less.
    off = [np.abs(np.cov(draws.T) - COV).max() for draws in (once, again)]
    assert off[1] < off[0] + 6.5 * COV.max() / np.sqrt(NUM)


def test_repainted_pixels_follow_what_is_known():
    known = np.array([[[True], [True], [False]], [[True], [False], [False]]])
    y = RNG(2).normal(size=SHAPE)
    seen, hidden = known.ravel(), ~known.ravel()
    gain = COV[np.ix_(hidden, seen)] @ np.linalg.inv(COV[np.ix_(seen, seen)])
    mean = MEAN.ravel()[hidden] + gain @ (y.ravel() - MEAN.ravel())[seen]
    cov = COV[np.ix_(hidden, hidden)] - gain @ COV[np.ix_(seen, hidden)]
    errors = []
    for repeats in (1, 8):
        made, _ = drawn(jd.Renoised(jd.Replaced(jd.DDPM(), known, np.where(known, y, np.nan)), repeats))
        np.testing.assert_allclose(made[:, seen], np.broadcast_to(y.ravel()[seen], (NUM, seen.sum())), rtol=1e-6)
        errors.append(np.abs(made[:, hidden].mean(axis=0) - mean).max())
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.2
    # Steps of order 1 lose variance, here a quarter to a third; with four times as many of both, a tenth.
    ratio = np.var(made[:, hidden], axis=0) / np.diag(cov)
    assert ((ratio > 0.6) & (ratio < 1.05)).all()


def test_noise_depends_on_the_image_alone_and_values_are_no_new_trace():
    known = np.ones(SHAPE, bool)
    known[0, 0] = False
    traces = []

    def denoise(x, lam, cond):
        traces.append(1)
        return PRIOR(x, lam)

    def run(y, num):
        solver = jd.Renoised(jd.Replaced(jd.DPMpp(order=1, eta=1.0), known, y), 2)
        out = jd.sample(jax.random.key(0), denoise, shape=SHAPE, num=num, batch=4, solver=solver, grid=GRID)
        return np.asarray(out.images)

    first = run(np.zeros(SHAPE), 4)
    count = len(traces)
    np.testing.assert_array_equal(run(np.zeros(SHAPE), 2), first[:2])
    run(np.ones(SHAPE), 4)
    assert len(traces) == count


def test_wrappers_go_around_each_other_either_way():
    inside = jd.Replaced(jd.Renoised(jd.DDPM(), 3), np.ones(SHAPE, bool), MEAN)
    made, calls = drawn(inside, num=4)
    assert calls == 3 * 19 + 1
    np.testing.assert_allclose(made, np.broadcast_to(MEAN.ravel(), made.shape), rtol=1e-6)


def test_solvers_that_look_back_are_refused():
    with pytest.raises(ValueError, match="expected a solver of order 1"):
        jd.Renoised(jd.DPMpp(order=2), 2)
    with pytest.raises(ValueError, match="repeats=0"):
        jd.Renoised(jd.DDPM(), 0)
    with pytest.raises(ValueError, match=r"got Renoised\(2\) in Renoised\(3\).*repeats=6"):
        jd.Renoised(jd.Replaced(jd.Renoised(jd.DDPM(), 2), np.ones(SHAPE, bool), MEAN), 3)


def test_rows_go_back_by_as_many_steps_as_the_jump_has():
    grid = np.array([-2.0, -1.0, 0.0, 1.0])
    start, end = jd.Renoised(jd.DDPM(), 2, jump=2).nodes(grid)
    np.testing.assert_array_equal(start, [-2, -1, -2, -1, 0, 0])
    np.testing.assert_array_equal(end, [-1, 0, -1, 0, 1, 1])
