"""The exact problems of the solver benchmark, diffusers' methods as tables, and the check."""

import json

import jax
import numpy as np
import pytest

import jaxdiff as jd
from benchmarks import solver_problems
from benchmarks.solver_problems import SCHEDULE, Mixture, flipped, gaussian, mixture, rms
from benchmarks.solvers import check, report
from benchmarks.solvers.methods import FIXED, FREE, METHODS, lay
from benchmarks.solvers.scores import cell
from benchmarks.solvers.twins import CommonDPMpp3, LastLower
from jaxdiff.solvers import Point
from jaxdiff.solvers.multistep import exponential_moments

LAMS = np.array([-4.0, -2.7, -1.1, 0.2, 0.9, 2.3])
AT, TO = Point.of(LAMS[:-1]), Point.of(LAMS[1:])


@pytest.fixture(scope="module")
def small_mixture(tmp_path_factory):
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver_problems.tempfile, "tempdir", str(tmp_path_factory.mktemp("cache")))
        yield mixture(num=256)


def test_by_products_it_is_the_same_mixture(x64):
    rng = np.random.default_rng(0)
    means, x = rng.normal(size=(5, 4, 3)), rng.normal(size=(7, 4, 3))
    ours = Mixture(jax.numpy.asarray(means), jax.numpy.asarray(0.2))
    known = jd.analytic.GaussianMixture(means, np.full(5, 0.2))
    for lam in (-5.0, 0.0, 4.6, 12.0):
        a, b = (np.asarray(jax.vmap(denoise, (0, None))(jd.alpha(lam) * x, lam)) for denoise in (ours, known))
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_the_exact_map_of_the_gaussian_brings_its_covariance(x64):
    problem = gaussian(num=64)
    lam, c = problem.schedule.lam_min, problem.covariance
    assert c is not None
    g = np.linalg.lstsq(problem.start, problem.exact, rcond=None)[0].T
    np.testing.assert_allclose(g @ (jd.alpha(lam) ** 2 * c + jd.sigma(lam) ** 2 * np.eye(16)) @ g.T, c, atol=1e-10)


@pytest.mark.parametrize(("calls", "known"), [(8, 0.109), (20, 0.048)])
def test_the_mixture_has_the_known_errors_on_diffusers_grid(small_mixture, calls, known):
    found = cell(small_mixture, "DPMpp(2)", "discrete trailing", calls)
    assert found is not None
    assert found["rms"] == pytest.approx(known, rel=0.1)


def test_many_calls_meet_the_exact_solution_and_flips_are_seen(small_mixture):
    found = cell(small_mixture, "UniPC(3)", "uniform_lam", 120, 4.6)
    assert found is not None
    assert found["rms"] < 1e-3
    assert found["flipped"] == 0
    assert flipped(np.roll(small_mixture.exact, 1, axis=0), small_mixture) > 0.5


def test_it_refuses_float32():
    with jax.enable_x64(False), pytest.raises(ValueError, match="enable_x64"):
        mixture(num=2)


def test_a_last_step_takes_no_call(small_mixture):
    found = cell(small_mixture, "IPNDM(3)", "uniform_time", 8, 1.5, 3.0)
    assert found is not None
    assert found["nfe"] == 8


def test_the_common_weights_of_third_order_are_of_second():
    table = CommonDPMpp3().weights(AT, TO)
    for k in range(2, len(AT.lam)):
        weights = table.predictor_v[k, :3] / TO.alpha[k]
        h = TO.lam[k] - AT.lam[k]
        times = (AT.lam[[k, k - 1, k - 2]] - AT.lam[k]) / h
        moments = exponential_moments(h, 3)
        found = [weights @ times**m for m in range(3)]
        np.testing.assert_allclose(found[:2], moments[:2], rtol=1e-12)  # exact for constants and slopes
        assert abs(found[2] - moments[2]) > 0.05 * abs(moments[2])


def test_lowered_last_steps_change_those_rows_alone():
    tables = [solver.weights(AT, TO) for solver in (jd.UniPC(3), jd.UniPC(2))]
    spliced = LastLower((jd.UniPC(3), jd.UniPC(2)), (2,)).weights(AT, TO)  # pyright: ignore[reportArgumentType]
    row = len(AT.lam) - 2
    for name in ("predictor_v", "corrector_v"):
        source = np.zeros(len(AT.lam), int)
        source[row + (name == "corrector_v")] = 1
        expected = [getattr(tables[which], name)[k] for k, which in enumerate(source)]
        np.testing.assert_array_equal(getattr(spliced, name), expected)


@pytest.mark.parametrize("calls", [5, 8, 20])
def test_every_method_keeps_to_its_calls_on_every_grid(calls):
    for method in METHODS.values():
        if method.values(calls) < 2:
            continue
        for kind in (*FREE, *FIXED):
            assert len(lay(kind, SCHEDULE, method.values(calls))) == method.values(calls) <= calls


def test_the_check_fails_where_an_error_rises():
    was = {"rms": 0.01}
    assert not check.failed(was, {"rms": 0.0109})
    assert check.failed(was, {"rms": 0.0111})
    assert check.failed(was, {"rms": float("nan")})
    assert check.failed(was, None)


def test_the_json_keeps_a_learned_sampler_to_the_last_bit():
    sampler = {"grid": [1 / 3, 2 / 3]}
    kept = json.loads(report.dumps({"best": [{"solver": "Tuned", "rms": 1 / 3, "sampler": sampler}], "seconds": 2 / 3}))
    assert kept == {"best": [{"solver": "Tuned", "rms": 0.33333, "sampler": sampler}], "seconds": 0.66667}


def test_rms():
    assert rms(np.array([[1.0, 1.0]]), np.array([[1.0, 3.0]])) == pytest.approx(2**0.5)
