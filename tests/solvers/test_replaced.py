"""Replacement of known pixels and steps taken again: distributions that are known."""

import diffrax
import jax
import jax.numpy as jnp
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


class Follows(jd.Solver):
    """DDIM with half of the last D in the place of this one: declared order 1, and remembers."""

    order = 1

    def memory(self, x):
        return jnp.zeros_like(x)

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        mixed = (x0 + memory) / 2
        return to.alpha * mixed + to.sigma / at.sigma * (x - at.alpha * mixed), x0


class Euler(jd.Solver):
    """DDIM as the guide writes it: no table, no noise, no memory."""

    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0), memory


class Twice(Euler):
    """The mean of D at the start and at the end of the step."""

    evaluations = 2

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        x0 = (x0 + denoise(to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0), to.lam)) / 2
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0), memory


class Undeclared(jd.DPMpp):
    """A table that reaches back, in a class that says it does not."""

    keeps_history = False


TUNED = jd.Tuned(GRID, np.full(20, 0.9), np.full((20, 2), 0.1))
LOOK_BACK = [
    *(jd.DPMpp(order=2), jd.DEIS(2), jd.IPNDM(2), jd.UniPC(2), jd.SASolver(1), jd.SASolver(2), jd.EDMHeun()),
    *(Follows(), TUNED, jd.Tuned(GRID, np.full(20, 0.9), np.full((20, 1), 0.1)), diffrax.Euler()),
]


@pytest.mark.parametrize("solver", LOOK_BACK, ids=lambda solver: type(solver).__name__)
def test_solvers_whose_steps_do_not_stand_alone_are_refused(solver):
    for wrap in (lambda s: jd.Renoised(s, 2), lambda s: jd.Replaced(s, np.ones(SHAPE, bool), MEAN)):
        with pytest.raises(ValueError, match=r"expected a solver whose steps stand alone; to fix: jd.DDPM\(\)"):
            wrap(solver)


def test_a_table_that_reaches_back_is_refused_whatever_is_declared():
    with pytest.raises(ValueError, match="has weights of the steps before"):
        drawn(jd.Renoised(Undeclared(order=2), 2), num=2)
    drawn(jd.Renoised(Undeclared(order=1), 2), num=2)


def test_who_ends_the_run_itself_calls_once_a_step():
    class Ends(Twice):
        ends_itself = True

    with pytest.raises(ValueError, match="ends_itself and evaluations=2; expected evaluations=1"):
        Ends()


@pytest.mark.parametrize("solver", [Euler(), Twice(), jd.PredictorCorrector()], ids=lambda s: type(s).__name__)
def test_wrappers_leave_the_distribution_of_any_solver_whose_steps_stand_alone(solver):
    """By its own formula: with or without noise, of one call or two, with rows of its own."""
    once, calls = drawn(solver)
    again, more = drawn(jd.Renoised(solver, 3, jump=2))
    assert more == 3 * (calls - 1) + 1
    np.testing.assert_allclose(again.mean(axis=0), MEAN.ravel(), atol=4.5 * np.sqrt(np.diag(COV).max() / NUM))
    off = [np.abs(np.cov(draws.T) - COV).max() for draws in (once, again)]
    assert off[1] < off[0] + 6.5 * COV.max() / np.sqrt(NUM)
    known = np.ones(SHAPE, bool)
    known[0, 0] = False
    made, _ = drawn(jd.Replaced(solver, known, MEAN), num=4)
    np.testing.assert_allclose(made[:, 1:], np.broadcast_to(MEAN.ravel()[1:], (4, 5)), rtol=1e-6)


def test_wrappers_take_values_that_they_can_use():
    with pytest.raises(ValueError, match="repeats=0"):
        jd.Renoised(jd.DDPM(), 0)
    with pytest.raises(ValueError, match=r"got Renoised\(2\) in Renoised\(3\).*repeats=6"):
        jd.Renoised(jd.Replaced(jd.Renoised(jd.DDPM(), 2), np.ones(SHAPE, bool), MEAN), 3)


def test_rows_go_back_by_as_many_steps_as_the_jump_has():
    grid = np.array([-2.0, -1.0, 0.0, 1.0])
    start, end = jd.Renoised(jd.DDPM(), 2, jump=2).nodes(grid)
    np.testing.assert_array_equal(start, [-2, -1, -2, -1, 0, 0])
    np.testing.assert_array_equal(end, [-1, 0, -1, 0, 1, 1])
