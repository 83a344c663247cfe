"""Tuned samplers: they start as DPM-Solver++, solve what is linear exactly, and beat it where it is not."""

import jax
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.solvers import Tuned
from jaxdiff.tuning import Examples, compare, fit, ranked, score, table, teach
from jaxdiff.tuning.parameters import free, start, tuned

SHAPE = (2, 1)
SCHEDULE = jd.Cosine()
ENDS = (SCHEDULE.lam_min, SCHEDULE.lam_max)
MIXTURE = np.array([[[0.9], [0.2]], [[-0.8], [0.5]], [[0.1], [-1.0]]]), np.array([0.3, 0.5, 0.2])

pytestmark = pytest.mark.usefixtures("x64")


def run(denoise, solver, x, grid=None):
    out = jd.sample(jax.random.key(0), denoise, shape=SHAPE, num=len(x), solver=solver, grid=grid, start=x)
    return np.asarray(out.images), out.nfe


@pytest.fixture
def mixture():
    return jd.analytic.GaussianMixture(*MIXTURE)


def examples(denoise, seed, num) -> Examples:
    return teach(jax.random.key(seed), denoise, shape=SHAPE, num=num, grid=np.linspace(-6, 6, 150), batch=64)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("calls", [1, 2, 5])
def test_start_is_dpmpp_on_the_grid(mixture, order, calls):
    grid = np.linspace(-4.0, 2.0, calls)
    solver = tuned(start(grid, order, min(calls, 4), ENDS), ENDS)
    x = np.random.default_rng(0).normal(size=(6, *SHAPE))
    got, nfe = run(mixture, solver, x)
    assert nfe == solver.calls == calls
    np.testing.assert_allclose(solver.grid, grid, atol=1e-12)
    np.testing.assert_allclose(got, run(mixture, jd.DPMpp(order=order), x, grid)[0], atol=1e-10)


def test_one_call_solves_an_isotropic_gaussian():
    """There the flow is x0 = m + s (x − α m)/√(α² s² + σ²): a combination of x and D(x, λ) at any λ."""
    denoise = jd.analytic.Gaussian(np.full(SHAPE, 0.7), np.full(SHAPE, 0.3))
    learned = examples(denoise, 0, 16)
    solver = fit(denoise, learned, np.array([-1.0]), ends=ENDS, iterations=30)
    unseen = examples(denoise, 1, 8)
    assert unseen.rms(run(denoise, jd.DDIM(), unseen.start, np.array([-1.0]))[0]) > 0.1
    assert unseen.rms(run(denoise, solver, unseen.start)[0]) < 1e-5


def test_beats_every_solver_on_its_own_best_grid(mixture):
    learned, unseen = examples(mixture, 0, 128), examples(mixture, 1, 64)
    others = compare(mixture, SCHEDULE, 4, learned, unseen)
    assert [one.rms for one in others] == sorted(one.rms for one in others)
    seen = []
    solver = fit(
        mixture, learned, np.linspace(-4, 1.5, 4), ends=ENDS, iterations=12, batch=48,
        report=lambda iteration, fitted, held_out: seen.append(fitted),
    )  # fmt: skip
    assert seen[-1] < 0.2 * seen[0]
    low, high = ENDS
    assert low < solver.grid[0]
    assert solver.grid[-1] < high
    assert np.all(np.diff(solver.grid) > 0)
    mine = score("tuned:4", mixture, solver, unseen)
    assert mine.rms < 0.5 * others[0].rms, table(ranked(others, mine))
    assert "tuned:4" in table(ranked(others, mine)).splitlines()[1]


def test_weights_of_calls_that_do_not_exist_are_not_learned():
    calls, depth = 4, 3
    mask = free(calls, depth)[2 * calls + 1 :].reshape(calls, depth)
    np.testing.assert_array_equal(mask, np.tril(np.ones((calls, depth), bool))[:, :])


def test_numbers_survive_json(mixture):
    solver = tuned(start(np.linspace(-4, 1 / 3, 5), 3, 5, ENDS), ENDS)
    again = Tuned.from_json(solver.to_json())
    x = np.random.default_rng(0).normal(size=(2, *SHAPE))
    np.testing.assert_array_equal(run(mixture, solver, x)[0], run(mixture, again, x)[0])


def test_another_grid_is_refused(mixture):
    solver = tuned(start(np.linspace(-4, 1, 4), 2, 4, ENDS), ENDS)
    x = np.zeros((1, *SHAPE))
    with pytest.raises(ValueError, match="own 4 calls"):
        run(mixture, solver, x, np.linspace(-4, 2, 4))
    with pytest.raises(ValueError, match="to fix"):
        jd.sample(jax.random.key(0), mixture, shape=SHAPE, num=1, solver=solver, final="state")
    with pytest.raises(ValueError, match="expected"):
        Tuned(np.zeros(3), np.zeros(2), np.zeros((3, 2)))


def test_bad_arguments(mixture):
    learned = Examples(np.zeros((4, *SHAPE)), np.zeros((4, *SHAPE)), None)
    with pytest.raises(ValueError, match="at least 8"):
        fit(mixture, learned, np.array([0.0]), ends=ENDS)
    with pytest.raises(ValueError, match="inside ends"):
        fit(mixture, Examples(np.zeros((9, *SHAPE)), np.zeros((9, *SHAPE)), None), np.array([30.0]), ends=ENDS)
