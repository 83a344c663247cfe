"""Posterior sampling where the posterior is known: Gaussian priors and linear operators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.guidance.posterior import DDNM, DPS, DiffPIR, Measurement, PiGDM
from jaxdiff.physics.operators import Bin, Convolution, Mask, Slices
from jaxdiff.process.gaussian import alpha, sigma

SHAPE = (4, 4, 1)
SIZE = 16
RNG = np.random.default_rng
PSF = jnp.asarray([[0.05, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.05]])
OPERATORS = {
    "blur": Convolution(PSF),
    "periodic blur": Convolution(PSF, "periodic"),
    "bin": Bin((2, 2)),
    "mask": Mask(jnp.asarray(RNG(0).random(SHAPE) < 0.6)),
    "slices": Slices((0, 3), 4),
    "product": Bin((2, 1)) @ Convolution(PSF),
}
operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def matrix(operator):
    return np.asarray(jax.vmap(operator)(jnp.eye(SIZE).reshape(SIZE, *SHAPE)).reshape(SIZE, -1), np.float64).T


def white(variance):
    return Gaussian(0.3 * RNG(1).normal(size=SHAPE), variance)


def measured(operator, noise, seed=2):
    x0 = jnp.asarray(RNG(seed).normal(size=SHAPE))
    y = operator(x0)
    return Measurement(operator, np.asarray(y) + noise * RNG(3).normal(size=y.shape), noise, 200)


def posterior(prior_mean, prior_cov, A, y, noise):
    """Mean and covariance of x0 given y."""
    gain = prior_cov @ A.T @ np.linalg.inv(A @ prior_cov @ A.T + noise**2 * np.eye(len(A)))
    return prior_mean + gain @ (y - A @ prior_mean), prior_cov - gain @ A @ prior_cov


@operators
@pytest.mark.parametrize("lam", [-1.0, 0.5])
@pytest.mark.parametrize("variance", [1.0, 0.4])
def test_pigdm_is_exact_for_white_priors(operator, lam, variance, x64):
    prior, of = white(variance), measured(operator, 0.3)
    x = jnp.asarray(RNG(4).normal(size=SHAPE))
    got = PiGDM(prior, of, variance)(x, lam)
    # x is a measurement, too: y and x together.
    a, s = alpha(lam), sigma(lam)
    A = np.concatenate([matrix(operator) / 0.3, a / s * np.eye(SIZE)])
    y = np.concatenate([np.ravel(of.y) / 0.3, np.ravel(x) / s])
    want, _ = posterior(np.ravel(prior.mean), variance * np.eye(SIZE), A, y, 1.0)
    np.testing.assert_allclose(np.ravel(got), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["blur", "slices"])
def test_samples_of_pigdm_have_the_posteriors_moments(name):
    operator = OPERATORS[name]
    prior, of = white(1.0), measured(operator, 0.3)
    num = 4096
    out = jd.sample(
        jax.random.key(0), PiGDM(prior, of), shape=SHAPE, num=num, batch=num,
        solver=jd.DPMpp(order=2), grid=jd.grids.uniform_lam(jd.Cosine(), 40),
    )  # fmt: skip
    mean, cov = posterior(np.ravel(prior.mean), np.eye(SIZE), matrix(operator), np.ravel(of.y), 0.3)
    found = np.asarray(out.images, np.float64).reshape(num, SIZE)
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=4.5 / np.sqrt(num) + 0.01)
    np.testing.assert_allclose(np.cov(found.T), cov, atol=6.5 / np.sqrt(num) + 0.01)


@operators
def test_dps_is_what_it_says(operator, x64):
    lam, prior, of = 0.4, white(0.7), measured(operator, 0.5)
    x = jnp.asarray(RNG(5).normal(size=SHAPE))
    A, x0 = matrix(operator), np.ravel(prior(x, lam))
    a, s = alpha(lam), sigma(lam)
    v = 0.7 * s**2 / (0.7 * a**2 + s**2)  # Cov[x0 | x]
    want = x0 + 2.0 * v * A.T @ (np.ravel(of.y) - A @ x0) / 0.5**2
    np.testing.assert_allclose(np.ravel(DPS(prior, of, 2.0)(x, lam)), want, rtol=1e-5, atol=1e-6)


def test_dps_and_pigdm_agree_where_little_is_left_open(x64):
    lam, prior, of = 6.0, white(1.0), measured(OPERATORS["blur"], 0.5)
    x = jnp.asarray(RNG(6).normal(size=SHAPE))
    np.testing.assert_allclose(DPS(prior, of)(x, lam), PiGDM(prior, of)(x, lam), rtol=1e-4, atol=1e-7)


@operators
def test_diffpir_is_the_proximal_step(operator, x64):
    lam, prior, of = 0.2, white(0.7), measured(operator, 0.4)
    x = jnp.asarray(RNG(7).normal(size=SHAPE))
    A, x0, weight = matrix(operator), np.ravel(prior(x, lam)), 3.0 * np.exp(2 * lam)
    want = np.linalg.solve(A.T @ A / 0.4**2 + weight * np.eye(SIZE), A.T @ np.ravel(of.y) / 0.4**2 + weight * x0)
    np.testing.assert_allclose(np.ravel(DiffPIR(prior, of, 3.0)(x, lam)), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["periodic blur", "bin", "mask", "slices"])
def test_ddnm_agrees_with_data_without_noise_and_leaves_the_null_space(name, x64):
    operator, prior = OPERATORS[name], white(0.7)
    of = measured(operator, 0.0)
    x = jnp.asarray(RNG(8).normal(size=SHAPE))
    got, x0 = DDNM(prior, of)(x, 0.3), prior(x, 0.3)
    np.testing.assert_allclose(operator(got), of.y, atol=1e-5)
    A = matrix(operator)
    null = np.eye(SIZE) - np.linalg.pinv(A, rcond=1e-5) @ A
    np.testing.assert_allclose(null @ np.ravel(got), null @ np.ravel(x0), atol=1e-5)


def test_ddnm_trusts_data_noisier_than_the_image_less():
    prior, of = white(0.7), measured(OPERATORS["bin"], 2.0)
    x = jnp.asarray(RNG(9).normal(size=SHAPE), jnp.float32)
    for lam, weight in ((-2.0, 1.0), (1.0, np.exp(-1.0) / 2.0)):
        x0 = prior(x, lam)
        full = of.operator.pseudo_inverse(of.at(x0).residual)
        np.testing.assert_allclose(DDNM(prior, of)(x, lam) - x0, weight * full, rtol=2e-4, atol=1e-6)


def test_another_recording_psf_or_noise_is_no_new_trace():
    traces = []

    @eqx.filter_jit
    def run(denoise, x):
        traces.append(1)
        return denoise(x, jnp.asarray(0.3))

    for seed in range(3):
        psf = jnp.asarray(RNG(seed).random((3, 3)))
        of = Measurement(Convolution(psf), RNG(seed).normal(size=SHAPE), 0.1 + seed)
        run(PiGDM(white(1.0), of, 1.0 + seed), jnp.ones(SHAPE))
    assert len(traces) == 1


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="noise=-1"):
        Measurement(OPERATORS["bin"], np.ones((2, 2, 1)), -1)
    with pytest.raises(ValueError, match="without noise"):
        DPS(white(1.0), measured(OPERATORS["bin"], 0.0))
    with pytest.raises(ValueError, match="the size that was recorded"):
        DDNM(white(1.0), Measurement(OPERATORS["bin"], np.ones((4, 4, 1)), 0.1))(jnp.ones(SHAPE), 0.0)
