"""Denoising errors of classes, held against densities that are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from class_problems import (
    MEANS,
    SHAPE,
    STDS,
    UNIFORM_IN_LAM,
    ByClass,
    exact_error,
    exact_log_density,
    gaussians,
    log_density,
)
from scipy.special import logsumexp
from scipy.stats import norm

import jaxdiff as jd
from jaxdiff.analytic import GaussianMixture
from jaxdiff.process.gaussian import alpha
from jaxdiff.tasks.class_errors import Draws, _kept, class_errors, squared_errors, visiting_order
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.weighting import Likelihood, Sigmoid, SNRPlusOne

LAM = np.linspace(-12, 12, 20001)
X0 = 0.7 * np.random.default_rng(1).normal(size=SHAPE)


def integral(values, lam):
    return np.sum((values[1:] + values[:-1]) / 2 * np.diff(lam))


def how(**options):
    return Draws(**({"lam_sampler": Stratified(jd.Cosine()), "standard_errors": None} | options))


def test_the_integral_of_errors_is_the_log_likelihood_ratio():
    errors = np.array([exact_error(X0, m, s, LAM) for m, s in zip(MEANS, STDS)])
    for b in range(1, 4):
        got, wanted = integral(errors[b] - errors[0], LAM), log_density(X0)[0] - log_density(X0)[b]
        assert got == pytest.approx(wanted, abs=2e-6)  # trapezoids, and ends at ±12
        inner = LAM[4000:13001]  # identity (1), between finite ends
        ratio = exact_log_density(X0, MEANS[0], STDS[0], inner) - exact_log_density(X0, MEANS[b], STDS[b], inner)
        assert integral((errors[b] - errors[0])[4000:13001], inner) == pytest.approx(ratio[-1] - ratio[0], abs=1e-6)
    single = exact_log_density(X0, MEANS[1], STDS[1], LAM)  # and of one class alone
    np.testing.assert_allclose(np.gradient(single, LAM)[1:-1], (alpha(LAM) ** 2 * X0.size - errors[1])[1:-1], atol=2e-5)


def test_a_falling_weighting_is_a_likelihood_of_the_image_with_noise():
    weight = 1 / (1 + np.exp(2 * LAM - 2))
    errors = [exact_error(X0, m, s, LAM) for m, s in zip(MEANS[:2], STDS)]
    ratio = np.subtract(*(exact_log_density(X0, m, s, LAM) for m, s in zip(MEANS[:2], STDS)))
    got = integral(weight * (errors[1] - errors[0]), LAM)
    assert got == pytest.approx(integral(-np.gradient(weight, LAM) * ratio, LAM), abs=1e-5)


@pytest.mark.parametrize("per_class", ["gaussian", "mixture"])
def test_errors_converge_to_the_log_likelihood_ratio(x64, per_class):
    if per_class == "gaussian":
        denoise, wanted = gaussians(), log_density(X0)
    else:
        centres = np.random.default_rng(2).normal(size=(3, 5, *SHAPE))
        denoise = ByClass([GaussianMixture(c, np.full(5, 0.4)) for c in centres])
        wanted = np.array([logsumexp(norm.logpdf(X0, c, 0.4).sum(axis=(1, 2, 3))) for c in centres])
    options = how(draws=40_000, weighting=Likelihood(), lam_sampler=UNIFORM_IN_LAM, batch=40_000)
    result = class_errors(jax.random.key(3), denoise, X0[None], len(wanted), options)
    difference = result.terms - result.terms[0]
    error = difference.std(axis=1, ddof=1) / np.sqrt(40_000)
    assert np.all(np.abs(difference.mean(axis=1) + wanted - wanted[0]) <= 4 * error + 2e-3)  # ends at -5 and 6
    assert error.max() < 0.2
    np.testing.assert_allclose(result.error, result.terms.mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("weighting", [Sigmoid(), SNRPlusOne()])
def test_other_weightings_are_their_integrals(x64, weighting):
    lam = LAM[(LAM >= -10) & (LAM <= 10)]
    weight = np.asarray(weighting(jnp.asarray(lam)))
    if weighting.per == "draw":
        weight = weight * -np.gradient(jd.Cosine().to_time(lam), lam)
    exact = [integral(weight * exact_error(X0, m, s, lam), lam) for m, s in zip(MEANS, STDS)]
    result = class_errors(jax.random.key(4), gaussians(), X0[None], 4, how(draws=4000, weighting=weighting, batch=4000))
    difference = result.terms - result.terms[0]
    error = difference.std(axis=1, ddof=1) / np.sqrt(4000)
    assert np.all(np.abs(difference.mean(axis=1) - exact + exact[0]) <= 4 * error + 1e-3)
    np.testing.assert_allclose(result.error, exact, rtol=0.05)


def test_noise_is_shared_by_classes_and_so_leaves_the_difference():
    # Under one noise the error of the difference of two classes is far smaller than under a noise for each.
    denoise, lam, num = gaussians(apart=0.3), np.zeros(512, np.float32), np.arange(512)
    x0 = np.broadcast_to(X0.astype(np.float32), (512, *SHAPE))

    def errors(key, label):
        cond = {"label": np.full(512, label, np.int32)}
        return np.asarray(squared_errors(denoise, jax.random.key(key), x0, cond, lam, num), np.float64)

    paired, unpaired = errors(0, 0) - errors(0, 1), errors(0, 0) - errors(1, 1)
    assert paired.mean() == pytest.approx(unpaired.mean(), abs=4 * unpaired.std() / np.sqrt(512))
    assert unpaired.var() > 5 * paired.var()


def test_draws_fill_every_stratum_and_are_spread_from_the_start():
    for number in (2, 8, 13, 64, 100):
        order = visiting_order(number)
        assert sorted(order) == list(range(number))
    first = np.sort(visiting_order(64)[:8])
    assert np.diff(np.append(first, first[0] + 64)).max() <= 16  # evenly: 8


def test_the_best_class_is_dropped_as_rarely_as_is_said():
    rng, limit, trials = np.random.default_rng(5), 2.0, 1500
    for draws in (8, 40):
        dropped = sum(
            not _kept(rng.normal(size=(2, draws)), rng.permutation(draws), limit).all() for _ in range(trials)
        )
        # Two equal classes, either of which may seem the better: twice the probability of one being dropped.
        expected = 2 * norm.sf(limit)
        assert dropped / trials == pytest.approx(expected, abs=4 * np.sqrt(expected / trials))
    assert _kept(rng.normal(size=(2, 7)) + np.array([[0], [99]]), np.arange(7), limit).all()
    assert _kept(np.array([[1.0] * 9, [2.0] * 9, [1.0] * 9]), np.arange(9), limit).tolist() == [True, False, True]


def test_what_the_difference_owes_to_the_level_is_no_uncertainty():
    rng, draws = np.random.default_rng(6), 32
    lams = rng.permutation(draws)
    difference = 0.3 * lams + 0.1 * rng.normal(
        size=draws
    )  # its spread over λ is 20 times what the mean is uncertain by
    assert difference.mean() < 10 * difference.std() / np.sqrt(draws)
    assert _kept(np.stack([np.zeros(draws), difference]), lams, 10.0).tolist() == [True, False]
