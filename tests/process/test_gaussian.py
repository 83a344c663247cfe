"""The coefficients of the process, and the noise that starts a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.process.gaussian import alpha, log_alpha, log_sigma, noise, sigma, start_noise

LAMS = np.linspace(-12, 12, 97)


def test_variance_preserving_coordinates():
    np.testing.assert_allclose(alpha(LAMS) ** 2, 1 / (1 + np.exp(-2 * LAMS)), rtol=1e-13)
    np.testing.assert_allclose(alpha(LAMS) ** 2 + sigma(LAMS) ** 2, 1.0, rtol=1e-14)
    np.testing.assert_allclose(log_alpha(LAMS) - log_sigma(LAMS), LAMS, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(alpha(LAMS), sigma(-LAMS))


def test_float32_keeps_its_digits_where_one_minus_alpha_squared_is_zero():
    lams = jnp.asarray(LAMS, jnp.float32)
    for f in (alpha, sigma):
        assert f(lams).dtype == jnp.float32
        np.testing.assert_allclose(f(lams), f(LAMS), rtol=3e-6)  # λ itself is rounded to 12 · 2⁻²⁴
    assert 1 - alpha(jnp.float32(10.0)) ** 2 == 0
    np.testing.assert_allclose(sigma(jnp.float32(10.0)), np.exp(-10.0), rtol=1e-6)


def test_numbers_are_computed_in_float64():
    assert alpha(0.3).dtype == np.float64
    assert isinstance(sigma(np.array([0.1, 2.0])), np.ndarray)


@pytest.mark.usefixtures("x64")
def test_derivatives_that_the_derivation_uses():
    lams = jnp.asarray(LAMS)
    a, s = alpha(lams), sigma(lams)
    np.testing.assert_allclose(jax.vmap(jax.grad(alpha))(lams), a * s**2, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.grad(sigma))(lams), -s * a**2, rtol=1e-12)


def test_noise_of_an_image_depends_on_its_index_only():
    key, images = jax.random.key(3), jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 2, 1)), jnp.float32)
    noised = noise(key, images, 0.4)
    np.testing.assert_array_equal(noise(key, images[2:], 0.4, first=2), noised[2:])
    eps = start_noise(jax.random.fold_in(key, 1), (3, 2, 1), jnp.float32)
    np.testing.assert_allclose(noised[1], alpha(0.4) * images[1] + sigma(0.4) * eps, rtol=1e-6, atol=1e-6)
