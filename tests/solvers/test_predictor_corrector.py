"""The predictor-corrector sampler: its formulas, its calls, and what its corrector does to the spread of the images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.conformance.march import march
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.solvers.base import tabulate
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

RNG = np.random.default_rng(0)
X, D, Z = RNG.normal(size=(3, 7))


def row_update(solver, k: int):
    """x after row k of the grid −0.7, 0.4, from X with D and Z."""
    row = jax.tree.map(lambda leaf: leaf[k], tabulate(solver, np.array([-0.7, 0.4]), "state"))
    return np.asarray(solver.update(lambda x, lam: D, X, row.at, row.to, Z, None)[0]), row


@pytest.mark.usefixtures("x64")
def test_corrector_is_algorithm_4_of_song():
    """x + ε s + √(2ε) z with ε = 2 (r ‖z‖/‖s‖)², for this image alone; first at the noise end, last at the clean end."""
    for k, lam in ((0, -0.7), (1, -0.7), (3, 0.4), (4, 0.4)):
        got, row = row_update(PredictorCorrector(corrections=2, snr=0.3), k)
        assert row.at.lam == row.to.lam == lam
        score = (alpha(lam) * D - X) / sigma(lam) ** 2
        step = 2 * (0.3 * np.linalg.norm(Z) / np.linalg.norm(score)) ** 2
        np.testing.assert_allclose(got, X + step * score + np.sqrt(2 * step) * Z, rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_predictor_is_the_exponential_step(eta):
    """Equation (3) of process/gaussian.py; at η = 1 DDPM's."""
    got, row = row_update(PredictorCorrector(corrections=2, eta=eta), 2)
    assert (row.at.lam, row.to.lam) == (-0.7, 0.4)
    h = 0.4 + 0.7
    fresh = sigma(0.4) * np.sqrt(-np.expm1(-2 * eta**2 * h)) * Z
    wanted = sigma(0.4) / sigma(-0.7) * np.exp(-(eta**2) * h) * X - alpha(0.4) * np.expm1(-(1 + eta**2) * h) * D + fresh
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_calls():
    """One a row: n (corrections + 1), the last of which is the result."""
    grid = np.linspace(-3, 2, 5)
    assert len(tabulate(PredictorCorrector(corrections=2), grid, "denoise").last) == 15
    assert len(tabulate(PredictorCorrector(corrections=2), grid, "state").last) == 14
    assert len(tabulate(PredictorCorrector(), grid[:1], "denoise").last) == 2


def test_without_a_corrector_or_its_step_it_is_ddpm_or_ddim():
    def run(solver):
        return march(solver, Gaussian(np.full((4, 1), 0.3), 0.5), np.linspace(-3, 2, 5), np.ones((2, 4, 1)))

    np.testing.assert_allclose(run(PredictorCorrector(snr=0.0, eta=0.0)), run(jd.DDIM()), atol=1e-5)
    np.testing.assert_allclose(run(PredictorCorrector(0)), run(jd.DDPM()), atol=1e-5)


def variance_recursion(solver, c: float, grid, variance: float) -> float:
    """Variance of a pixel after the grid, on images of very many independent pixels of variance c.

    There ‖z‖² and ‖s‖² are their means; s = −x/P with P = α² c + σ², so ε = 2 snr² P²/v.
    """
    snr, eta = float(solver.snr), float(solver.eta)
    rows = tabulate(solver, grid, "state")
    for lam, to in zip(rows.at.lam, rows.to.lam):
        marginal, h = alpha(lam) ** 2 * c + sigma(lam) ** 2, to - lam
        if h == 0:
            step = 2 * snr**2 * marginal**2 / variance
            variance = (1 - step / marginal) ** 2 * variance + 2 * step
        else:
            keep = sigma(to) / sigma(lam) * np.exp(-(eta**2) * h)
            pull = -alpha(to) * np.expm1(-(1 + eta**2) * h) * alpha(lam) * c / marginal
            variance = (keep + pull) ** 2 * variance + sigma(to) ** 2 * -np.expm1(-2 * eta**2 * h)
    return variance


@pytest.mark.parametrize(
    "solver", [PredictorCorrector(), PredictorCorrector(corrections=3, snr=0.3, eta=0.0)], ids=["song", "three"]
)
def test_variance_follows_its_recursion(solver):
    """From four times the marginal's variance, 131,072 pixels: five standard errors."""
    c, grid, shape = 0.4, np.linspace(-2.0, 2.0, 9), (64, 64, 1)
    start = 2.0 * np.random.default_rng(1).normal(size=(32, *shape)).astype(np.float32)
    reached = np.asarray(march(solver, Gaussian(np.zeros(shape), c), grid, start)).var()
    np.testing.assert_allclose(reached, variance_recursion(solver, c, grid, 4.0), rtol=5 * np.sqrt(2 / start.size))


def test_moments_converge_and_a_wrong_start_is_mended():
    """With snr the bias goes as snr²; the corrector brings a wrong spread back, which the ODE alone keeps."""
    c, lams = 0.4, np.linspace(-2.0, 2.0, 513)
    right = alpha(2.0) ** 2 * c + sigma(2.0) ** 2
    start = alpha(-2.0) ** 2 * c + sigma(-2.0) ** 2
    for snr in (0.3, 0.2, 0.1):
        bias = variance_recursion(PredictorCorrector(4, snr, eta=0.0), c, lams, start) / right - 1
        np.testing.assert_allclose(bias, snr**2, rtol=0.02)
    kept = variance_recursion(PredictorCorrector(0, eta=0.0), c, lams, 4 * start)
    mended = variance_recursion(PredictorCorrector(1, eta=0.0), c, lams, 4 * start)
    np.testing.assert_allclose(kept, 4 * right, rtol=0.01)
    np.testing.assert_allclose(mended, right * (1 + 0.16**2), rtol=0.01)


def test_an_image_whose_score_is_zero_stays():
    got = march(PredictorCorrector(), lambda x, lam, cond: x / alpha(jnp.asarray(1.0)), [1.0], np.zeros((2, 3, 1)))
    np.testing.assert_array_equal(got, 0.0)


def test_images_of_few_values_are_warned_about_at_each_call_with_the_bias():
    for shape, words in (((2, 1), "2 values; expected 32 or more: .* no mean"), ((2, 2, 1), "about 3.03 times")):
        options = dict(shape=shape, num=2, grid=np.array([-1.0, 0.0]))
        for solver in (PredictorCorrector(), jd.Renoised(PredictorCorrector(), repeats=2)):
            for _ in range(2):
                with pytest.warns(UserWarning, match=words):
                    jd.sample(jax.random.key(0), Gaussian(np.zeros(shape), 0.5), solver=solver, **options)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1,)])
def test_images_of_one_value_are_refused(shape):
    options = dict(shape=shape, num=2, grid=np.array([-1.0, 0.0]))
    with pytest.raises(ValueError, match=r"PredictorCorrector, 1 values; expected 32 or more"):
        jd.sample(jax.random.key(0), Gaussian(np.zeros(shape), 0.5), solver=PredictorCorrector(), **options)
    assert jd.sample(
        jax.random.key(0), Gaussian(np.zeros(shape), 0.5), solver=PredictorCorrector(0), **options
    ).finite.all()


@pytest.mark.parametrize("side", [3, 8])
def test_the_bias_on_few_pixels_is_what_is_said(side):
    """200 corrections of 4,000 white images at λ = 0: variance 1 + snr² + 4/(d − 2) times the marginal's, to e⁻⁸."""
    shape, num = (side, side, 1), 4000
    start = np.random.default_rng(0).normal(size=(num, *shape))  # the marginal of white images of variance 1
    solver = PredictorCorrector(corrections=200, snr=0.1)
    options = dict(shape=shape, num=num, batch=num, grid=np.zeros(1), start=start, final="state")
    got = np.asarray(jd.sample(jax.random.key(0), Gaussian(np.zeros(shape), 1.0), solver=solver, **options).images)
    excess = 0.1**2 + 4 / (side**2 - 2)
    assert abs(np.mean(got**2) - 1 - excess) < 0.15 * excess + 5 * np.sqrt(2 / got.size)


def test_negative_corrections_are_refused():
    with pytest.raises(ValueError, match="got corrections=-1; expected 0 or more"):
        PredictorCorrector(-1)
