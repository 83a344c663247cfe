"""Posterior sampling of photons: what the likelihood and its linearisation are, and posteriors that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdiff as jd
from jaxdiff.analytic import Gaussian, GaussianMixture
from jaxdiff.data.normalise import Normaliser
from jaxdiff.guidance.posterior import DDNM, DPS, MMPS, DiffPIR, Measurement, PiGDM, Recording
from jaxdiff.physics import likelihood
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Bin, Convolution, Diagonal
from jaxdiff.process.gaussian import alpha, sigma

RNG = np.random.default_rng
SHAPE = (4, 4, 1)
BRIGHT = Camera(gain=2.0, offset=10.0, read_noise=3.0)
CURVED = Normaliser("anscombe", (0.0,), (1.0,), (30.0,), (6.0,))
STRAIGHT = Normaliser("linear", (10.0,), (1.0,), (200.0,), (40.0,))
PSF = jnp.asarray([[0.05, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.05]])
IDENTITY = Diagonal(jnp.ones(()))


@pytest.mark.parametrize("form", [likelihood.photon, likelihood.stabilised])
@pytest.mark.parametrize("electrons", [6.0, 50.0, 1000.0])
def test_residuals_have_variance_one_and_the_stated_slope(form, electrons, x64):
    noise = likelihood.Noise(BRIGHT.gain, BRIGHT.offset, BRIGHT.read_noise)
    y = jnp.asarray(BRIGHT.record(RNG(0), np.full(40_000, electrons)), jnp.float64)
    mean = jnp.full(y.shape, BRIGHT.offset + BRIGHT.gain * electrons)
    residual, weight = form(noise, y, mean)
    np.testing.assert_allclose(residual.var(), 1, atol=0.04)
    np.testing.assert_allclose(residual.mean(), 0, atol=0.09 if electrons < 10 else 0.05)  # E f(y) < f(E y)
    if form is likelihood.stabilised:
        slope = jax.vmap(jax.grad(lambda m, y: form(noise, y, m).residual))(mean[:5], y[:5])
        np.testing.assert_allclose(-slope, weight[:5], rtol=1e-9)
    else:  # the score of the Poisson distribution, without read noise
        bare = likelihood.Noise(2.0, 10.0, 0.0)
        counts = jnp.arange(20.0, 30.0)
        residual, weight = form(bare, 10 + 2 * counts, 10 + 2 * jnp.full(10, 24.0))
        np.testing.assert_allclose(weight * residual, (counts / 24.0 - 1) / 2.0, rtol=1e-9)


def test_a_recording_with_even_noise_in_linear_units_is_a_measurement(x64):
    """Little light above much read noise: the variance is that of the read noise."""
    camera = Camera(gain=1e-6, offset=10.0, read_noise=2e6)
    operator = Bin((2, 1)) @ Convolution(PSF)
    x0, prior = jnp.asarray(RNG(0).normal(size=SHAPE)), Gaussian(np.zeros(SHAPE), 0.5)
    y = RNG(1).normal(200, 40, (2, 4, 1))
    recording = Recording(operator, y, camera, STRAIGHT.inverse, iterations=200)
    # y = 10 + A (210 + 40 z − 10) + 2 n, and A keeps a constant: z is seen through A with noise 2/40
    plain = Measurement(operator, (y - 10 - np.asarray(operator(jnp.full(SHAPE, 200.0)))) / 40, 2 / 40, 200)
    for method in (PiGDM, DPS, DiffPIR, MMPS):
        np.testing.assert_allclose(
            method(prior, recording)(x0, 0.3), method(prior, plain)(x0, 0.3), rtol=1e-3, atol=2e-4
        )


@pytest.mark.parametrize("operator", [IDENTITY, Convolution(PSF), Bin((2, 2))], ids=["identity", "blur", "bin"])
def test_the_linearisation_is_the_derivative(operator, x64):
    x0 = jnp.asarray(RNG(2).normal(size=SHAPE))
    mean = lambda x: 10 + operator(CURVED.inverse(x) - 10)  # noqa: E731
    y = np.asarray(jax.jit(mean)(x0)) + 1
    near = Recording(operator, y, BRIGHT, CURVED.inverse, stabilised=True).at(x0)
    direction = jnp.asarray(RNG(3).normal(size=SHAPE))
    moved = lambda x: Recording(operator, y, BRIGHT, CURVED.inverse, stabilised=True).at(x).residual  # noqa: E731
    slope = jax.jvp(moved, (x0,), (direction,))[1]
    np.testing.assert_allclose(near.operator(direction), -slope, rtol=1e-6)
    left, right = jnp.vdot(near.operator(x0), near.residual), jnp.vdot(x0, near.operator.adjoint(near.residual))
    np.testing.assert_allclose(left, right, rtol=1e-9)


def test_pixels_that_are_left_out_say_nothing(x64):
    x0, prior = jnp.asarray(RNG(4).normal(size=SHAPE)), Gaussian(np.zeros(SHAPE), 0.5)
    y = RNG(5).normal(200, 40, SHAPE)
    seen = RNG(6).random(SHAPE) < 0.5
    told = DiffPIR(prior, Recording(IDENTITY, np.where(seen, y, np.nan), BRIGHT, CURVED.inverse))(x0, 0.3)
    other = DiffPIR(prior, Recording(IDENTITY, np.where(seen, y, 4095.0), BRIGHT, CURVED.inverse, seen=seen))(x0, 0.3)
    np.testing.assert_array_equal(told, other)
    plain = prior(x0, 0.3)
    assert np.all((told == plain) | seen)
    assert np.all(told[seen] != plain[seen])


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("photons", [20.0, 200.0])
def test_posterior_of_photons_beside_quadrature(stabilised, photons):
    """Pixels of a Gaussian prior, each seen with Poisson noise: mean and spread by numerical integration."""
    units = Normaliser("linear", (0.0,), (1.0,), (photons,), (photons / 5,))
    camera, size = Camera(), (8, 8, 1)
    rng = RNG(7)
    counts = rng.poisson(np.maximum(photons + photons / 5 * rng.normal(size=size), 0))
    z = np.linspace(-4.9, 6, 4001)
    weight = stats.norm.pdf(z) * stats.poisson.pmf(counts[..., None], photons * (1 + z / 5))
    weight /= weight.sum(axis=-1, keepdims=True)
    mean = (weight * z).sum(axis=-1)
    std = np.sqrt((weight * z**2).sum(axis=-1) - mean**2)
    of = Recording(IDENTITY, counts.astype(float), camera, units.inverse, stabilised=stabilised)
    out = jd.sample(
        jax.random.key(0), PiGDM(Gaussian(np.zeros(size), 1.0), of), shape=size, num=512, batch=512,
        solver=jd.DPMpp(2, eta=1.0), grid=jd.grids.uniform_lam(jd.Cosine(), 40),
    )  # fmt: skip
    off = np.asarray(out.images).mean(axis=0) - mean
    # Gauss-Newton is exact for Gaussian noise; what is left of skewness shows at few photons.
    bound = 0.12 if photons < 100 else 0.04
    assert abs(off.mean()) < bound
    assert np.sqrt(np.mean(off**2)) < bound + std.mean() / np.sqrt(512)
    np.testing.assert_allclose(np.asarray(out.images).std(axis=0).mean(), std.mean(), rtol=0.1)


def correlated():
    base = RNG(8).normal(size=(16, 16)) / 3
    return Gaussian(0.3 * RNG(9).normal(size=SHAPE), base @ base.T + 0.1 * np.eye(16)), base @ base.T + 0.1 * np.eye(16)


def test_mmps_is_exact_for_every_gaussian_prior(x64):
    prior, cov = correlated()
    operator, lam = Convolution(PSF), 0.4
    x = jnp.asarray(RNG(10).normal(size=SHAPE))
    y = RNG(11).normal(size=SHAPE)
    got = MMPS(prior, Measurement(operator, y, 0.3), 40)(x, lam)
    blur = np.asarray(jax.vmap(operator)(jnp.eye(16).reshape(16, *SHAPE)).reshape(16, 16)).T
    a, s = alpha(lam), sigma(lam)
    both = np.concatenate([blur / 0.3, a / s * np.eye(16)])
    seen = np.concatenate([np.ravel(y) / 0.3, np.ravel(x) / s])
    mean = np.ravel(prior.mean)
    gain = cov @ both.T @ np.linalg.inv(both @ cov @ both.T + np.eye(32))
    np.testing.assert_allclose(np.ravel(got), mean + gain @ (seen - both @ mean), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("method", "bias"), [(MMPS, 0.4), (PiGDM, 0.35), (DiffPIR, 0.75)])
def test_mixture_posterior_beside_importance_sampling(method, bias):
    """Two modes in four values, two of which are seen; `bias` is what docs/restoration.md says of the methods:
    which mode it is is decided early, where p(x0 | x) is least Gaussian."""
    shape, noise = (2, 2, 1), 0.5
    means = np.stack([np.full(shape, -0.8), np.full(shape, 0.8)])
    prior = GaussianMixture(means, [0.4, 0.4], [0.7, 0.3])
    operator = Diagonal(jnp.asarray([[[1.0], [0.0]], [[0.0], [1.0]]]))
    y = np.array([[[0.5], [0.0]], [[0.0], [0.2]]])
    rng = RNG(12)
    x0 = means[rng.choice(2, 400_000, p=[0.7, 0.3])] + 0.4 * rng.normal(size=(400_000, *shape))
    weight = np.exp(
        -0.5 * np.sum((y - np.asarray(operator(jnp.asarray(x0, jnp.float32)))) ** 2, axis=(1, 2, 3)) / noise**2
    )
    weight /= weight.sum()
    mean = np.tensordot(weight, x0, 1)
    std = np.sqrt(np.tensordot(weight, (x0 - mean) ** 2, 1))
    out = jd.sample(
        jax.random.key(1), method(prior, Measurement(operator, y, noise)), shape=shape, num=2048, batch=2048,
        solver=jd.DPMpp(2, eta=1.0), grid=jd.grids.uniform_lam(jd.Cosine(), 40),
    )  # fmt: skip
    assert np.abs(np.asarray(out.images).mean(axis=0) - mean).max() < bias + 4 * std.max() / np.sqrt(2048)
    assert np.abs(np.asarray(out.images).std(axis=0) - std).max() < bias + 0.05


def test_ddnm_in_grey_levels_agrees_with_bright_data():
    units = Normaliser("linear", (0.0,), (1.0,), (1e6,), (2e5,))
    y = RNG(13).normal(1e6, 2e5, (2, 2, 1))
    of = Recording(Bin((2, 2)), y, Camera(), units.inverse)
    x = jnp.asarray(RNG(14).normal(size=SHAPE), jnp.float32)
    got = DDNM(Gaussian(np.zeros(SHAPE), 1.0), of)(x, 0.3)
    np.testing.assert_allclose(np.asarray(Bin((2, 2))(got)), (y - 1e6) / 2e5, atol=1e-4)


def test_another_camera_recording_or_mask_is_no_new_trace():
    traces = []

    @jax.jit
    def run(of, x):
        traces.append(1)
        return DiffPIR(Gaussian(np.zeros(SHAPE), 1.0), of)(x, 0.3)

    for seed in range(3):
        seen = RNG(seed).random(SHAPE) < 0.7
        camera = Camera(gain=1.0 + seed, offset=float(seed), read_noise=float(seed))
        run(Recording(IDENTITY, RNG(seed).normal(200, 9, SHAPE), camera, CURVED.inverse, seen=seen), jnp.ones(SHAPE))
    assert len(traces) == 1
