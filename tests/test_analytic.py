"""The exact denoisers against what E[x0 | x] is: integrals, Tweedie's formula, and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.analytic import Empirical, Gaussian, GaussianMixture
from jaxdiff.process.gaussian import alpha, sigma

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
LAMS = (-6.0, -1.0, 0.0, 1.5, 5.0)


@pytest.mark.parametrize("lam", LAMS)
def test_gaussian_solves_the_normal_equations(lam):
    mean, root = RNG.normal(size=(2, 3, 1)), RNG.normal(size=(6, 6))
    cov, x = root @ root.T, RNG.normal(size=(2, 3, 1))
    a, s = alpha(lam), sigma(lam)
    rest = np.linalg.solve(a**2 * cov + s**2 * np.eye(6), (x - a * mean).reshape(-1))
    np.testing.assert_allclose(
        Gaussian(mean, cov)(jnp.asarray(x), lam), mean + a * (cov @ rest).reshape(2, 3, 1), atol=1e-10
    )


@pytest.mark.parametrize("lam", LAMS)
def test_diagonal_and_full_covariance_agree(lam):
    mean, variances, x = RNG.normal(size=(2, 3, 1)), RNG.uniform(0, 2, size=(2, 3, 1)), RNG.normal(size=(2, 3, 1))
    full = Gaussian(mean, np.diag(variances.reshape(-1)))
    np.testing.assert_allclose(Gaussian(mean, variances)(jnp.asarray(x), lam), full(jnp.asarray(x), lam), atol=1e-12)
    np.testing.assert_allclose(Gaussian(mean, 0.25)(x, lam), Gaussian(mean, np.full((2, 3, 1), 0.25))(x, lam))


@pytest.mark.parametrize("lam", LAMS)
def test_mixture_is_the_integral(lam):
    """∫ x0 p(x0) p(x | x0) dx0 / ∫ p(x0) p(x | x0) dx0 in one dimension, by quadrature."""
    means, stds, weights = np.array([-0.8, 0.1, 1.2]), np.array([0.3, 0.05, 0.6]), np.array([0.5, 0.2, 0.3])
    x0 = np.linspace(-6, 6, 400_001)
    prior = sum(w * np.exp(-0.5 * ((x0 - m) / std) ** 2) / std for m, std, w in zip(means, stds, weights))
    denoise = GaussianMixture(means[:, None], stds, 10 * weights)  # weights are normalised
    for x in (-1.5, 0.2, 0.9):
        posterior = prior * np.exp(-0.5 * ((x - alpha(lam) * x0) / sigma(lam)) ** 2)
        wanted = np.sum(x0 * posterior) / np.sum(posterior)
        np.testing.assert_allclose(denoise(jnp.array([x]), lam)[0], wanted, atol=1e-8)


@pytest.mark.parametrize("lam", LAMS)
def test_mixture_obeys_tweedie(lam):
    """D = (x + σ² ∇ log p(x))/α."""
    means, stds, weights = RNG.normal(size=(4, 2, 2)), np.array([0.1, 0.5, 1.0, 0.3]), np.array([1.0, 2.0, 3.0, 4.0])
    a, s = alpha(lam), sigma(lam)

    def log_density(x):
        variance = (a * stds) ** 2 + s**2
        square = jnp.sum((x - a * means) ** 2, axis=(1, 2)) / variance
        return jax.nn.logsumexp(jnp.log(weights / 10) - 0.5 * square - 2 * jnp.log(variance))

    x = jnp.asarray(RNG.normal(size=(2, 2)))
    denoised = (x + s**2 * jax.grad(log_density)(x)) / a
    np.testing.assert_allclose(GaussianMixture(means, stds, weights)(x, lam), denoised, atol=1e-9)


def test_one_component_is_the_gaussian():
    mean, x = RNG.normal(size=(2, 3, 4, 1))
    for lam in LAMS:
        wanted = Gaussian(mean, 0.49)(jnp.asarray(x), lam)
        np.testing.assert_allclose(GaussianMixture(mean[None], [0.7])(jnp.asarray(x), lam), wanted, atol=1e-12)


def test_empirical_is_the_nearest_image_when_clean_and_the_mean_when_noisy():
    images = RNG.normal(size=(5, 3, 3, 1))
    denoise = Empirical(images)
    np.testing.assert_allclose(denoise(jnp.asarray(images[3] + 1e-4), 9.0), images[3], atol=1e-12)
    np.testing.assert_allclose(denoise(jnp.zeros((3, 3, 1)), -9.0), images.mean(0), atol=1e-3)


def test_float32_is_finite_at_both_ends():
    images = RNG.normal(size=(5, 3, 3, 1)).astype(np.float32)
    for denoise in (Empirical(images), Gaussian(images[0], 0.0), GaussianMixture(images, np.full(5, 0.1))):
        for lam in (-10.0, 10.0):
            x0 = denoise(jnp.asarray(images[0] + 3), lam)
            assert x0.dtype == jnp.float32
            assert jnp.all(jnp.isfinite(x0))


def test_refusals():
    with pytest.raises(ValueError, match=r"got cov of shape \(3, 3\) for a mean of shape \(2, 1\)"):
        Gaussian(np.zeros((2, 1)), np.eye(3))
    with pytest.raises(ValueError, match="eigenvalue -1; expected none below 0"):
        Gaussian(np.zeros((2, 1)), np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="expected K means, K stds"):
        GaussianMixture(np.zeros((2, 1)), np.ones(3))
    with pytest.raises(ValueError, match="stds ≥ 0 and weights > 0"):
        GaussianMixture(np.zeros((2, 1)), np.ones(2), [1.0, 0.0])
