"""The six kinds of prediction against their definitions, each other and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.analytic import Gaussian
from jaxdiff.predictions import PREDICTIONS, from_x0, to_x0
from jaxdiff.process.gaussian import alpha, sigma

LAMS = (-9.0, -3.0, 0.0, 0.7, 4.0, 9.0)
RNG = np.random.default_rng(0)
X0, EPS = RNG.normal(size=(2, 5, 4, 2))

pytestmark = pytest.mark.usefixtures("x64")


def noised(lam):
    return jnp.asarray(alpha(lam) * X0 + sigma(lam) * EPS)


def definitions(lam, sigma_data=1.0):
    """What each kind is, from x0 and ε, as its paper writes it."""
    a, s = alpha(lam), sigma(lam)
    t, y = s / (a + s), a / (a + s) * X0 + s / (a + s) * EPS
    noise = s / a  # EDM's σ, at y_edm = x0 + σ ε
    c_skip = sigma_data**2 / (noise**2 + sigma_data**2)
    c_out = noise * sigma_data / np.sqrt(noise**2 + sigma_data**2)
    np.testing.assert_allclose(y, (1 - t) * X0 + t * EPS, atol=1e-14)
    return {
        "x0": X0,
        "eps": EPS,
        "v": a * EPS - s * X0,
        "score": -EPS / s,
        "velocity": EPS - X0,
        "F": (X0 - c_skip * (X0 + noise * EPS)) / c_out,
    }


def close(got, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(got, wanted, atol=2e-9 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
class TestEachKind:
    def test_definition(self, kind, lam, sigma_data):
        close(from_x0(kind, X0, noised(lam), lam, sigma_data), definitions(lam, sigma_data)[kind])
        close(to_x0(kind, definitions(lam, sigma_data)[kind], noised(lam), lam, sigma_data), X0)

    def test_round_trip_of_any_output(self, kind, lam, sigma_data):
        """Also for what no true x0 gives, the output of a network."""
        output = jnp.asarray(RNG.normal(size=X0.shape))
        x0 = to_x0(kind, output, noised(lam), lam, sigma_data)
        # relative to the numbers that cancel: x0 holds the output times |σ/α|, next to x/α
        scale = np.abs(np.asarray(from_x0(kind, jnp.abs(x0), -jnp.abs(noised(lam)), lam, sigma_data))).max()
        np.testing.assert_allclose(from_x0(kind, x0, noised(lam), lam, sigma_data), output, atol=1e-13 * max(1, scale))

    def test_cycle_through_all_others(self, kind, lam, sigma_data):
        x, x0 = noised(lam), X0
        for other in (kind, *PREDICTIONS, kind):
            x0 = to_x0(other, from_x0(other, x0, x, lam, sigma_data), x, lam, sigma_data)
        close(x0, X0)


@pytest.mark.parametrize("lam", LAMS)
def test_f_at_unit_sigma_data_is_minus_v(lam):
    close(from_x0("F", X0, noised(lam), lam, 1.0), -from_x0("v", X0, noised(lam), lam))


@pytest.mark.parametrize("lam", LAMS)
def test_preconditioning_of_edm(lam):
    """D = c_skip y + c_out F(c_in y) with table 1 of arXiv 2206.00364, for a network that is F."""
    sigma_data, noise = 0.5, np.exp(-lam)
    y, output = noised(lam) / alpha(lam), RNG.normal(size=X0.shape)
    c_skip = sigma_data**2 / (noise**2 + sigma_data**2)
    c_out = noise * sigma_data / np.sqrt(sigma_data**2 + noise**2)
    close(to_x0("F", output, noised(lam), lam, sigma_data), c_skip * y + c_out * output)


@pytest.mark.parametrize("lam", LAMS)
def test_score_and_velocity_of_a_gaussian(lam):
    """With the exact denoiser: the score is the gradient of log p(x), by autodiff, and the velocity moves the mean of
    y = (1 − t) x0 + t ε as d/dt does."""
    mean, cov = np.array([[0.5], [-1.0]]), np.array([[0.6, 0.2], [0.2, 0.9]])
    x = jnp.asarray(RNG.normal(size=(2, 1)))

    def log_density(x):
        spread = alpha(lam) ** 2 * cov + sigma(lam) ** 2 * np.eye(2)
        return jax.scipy.stats.multivariate_normal.logpdf(x.reshape(-1), alpha(lam) * mean.reshape(-1), spread)

    x0 = Gaussian(mean, cov)(x, lam)
    close(from_x0("score", x0, x, lam), jax.grad(log_density)(x))
    at_mean = jnp.asarray(alpha(lam) * mean)
    close(from_x0("velocity", Gaussian(mean, cov)(at_mean, lam), at_mean, lam), -mean)


def test_float32_at_the_ends_is_finite_and_right():
    for lam in (-10.0, 10.0):
        a, s = (np.float32(f(lam)) for f in (alpha, sigma))
        x = a * X0.astype(np.float32) + s * EPS.astype(np.float32)
        for kind in PREDICTIONS:
            output = definitions(lam)[kind].astype(np.float32)
            x0 = to_x0(kind, jnp.asarray(output), jnp.asarray(x), jnp.float32(lam))
            assert x0.dtype == jnp.float32
            # ε̂ and the score cannot tell x0 at the noise end: rounding comes back times σ/α
            slack = 1.0 if kind in ("x0", "v", "velocity", "F") else np.exp(-lam)
            np.testing.assert_allclose(x0, X0, atol=3e-6 * max(1.0, slack))


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"got predicts='noise'; expected one of x0, eps"):
        to_x0("noise", X0, X0, 0.0)
    with pytest.raises(ValueError, match="expected one of"):
        from_x0("noise", X0, X0, 0.0)
