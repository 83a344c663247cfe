"""Posterior sampling where the posterior is known: Gaussian priors and linear operators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.guidance import windowed
from jaxdiff.guidance.posterior import DDNM, DPS, MMPS, DiffPIR, Measurement, PiGDM, misfit
from jaxdiff.physics.operators import Bin, Convolution, Diagonal, Mask, Slices
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
@pytest.mark.parametrize("noise", [0.5, 0.0])
def test_dps_is_what_it_says(operator, noise, x64):
    lam, prior, of = 0.4, white(0.7), measured(operator, noise)
    x = jnp.asarray(RNG(5).normal(size=SHAPE))
    A, x0 = matrix(operator), np.ravel(prior(x, lam))
    a, s = alpha(lam), sigma(lam)
    v = 0.7 * s**2 / (0.7 * a**2 + s**2)  # Cov[x0 | x]
    r = np.where(np.any(A != 0, axis=1), np.ravel(of.y) - A @ x0, 0)
    g = v * (r @ A @ A.T @ r) / (r @ r)
    step = v * A.T @ r / (noise**2 / 2.0 + g)
    seen = A @ step
    want = x0 + min(1.0, (r @ seen) / (seen @ seen)) * step
    np.testing.assert_allclose(np.ravel(DPS(prior, of, 2.0)(x, lam)), want, rtol=1e-5, atol=1e-6)


def test_dps_at_scale_1_is_the_first_iteration_of_mmps(x64):
    prior, of = white(0.7), measured(OPERATORS["product"], 0.2)
    x = jnp.asarray(RNG(5).normal(size=SHAPE))
    np.testing.assert_allclose(DPS(prior, of)(x, 0.4), MMPS(prior, of, 1)(x, 0.4), rtol=1e-10)


class Crooked(eqx.Module):
    """A denoiser whose Jacobian is no covariance: not symmetric, of either sign."""

    weights: np.ndarray

    def __call__(self, x, lam, cond=None):
        return jnp.sin(3 * self.weights.astype(x.dtype) @ x.reshape(-1)).reshape(x.shape)


@pytest.mark.parametrize("name", ["blur", "mask"])
@pytest.mark.parametrize(
    "method",
    [
        DPS,
        lambda d, m: DPS(d, m, 1e3),
        MMPS,
        lambda d, m: MMPS(d, m, 8),
        PiGDM,
        DiffPIR,
        lambda d, m: DiffPIR(d, m, 1e-3),
    ],
    ids=["dps", "dps × 1000", "mmps", "mmps 8", "pigdm", "diffpir", "diffpir / 1000"],
)
def test_no_data_step_leaves_more_unexplained_than_there_was(name, method):
    """Whatever the network's Jacobian, the noise, λ, and the size of the operator; in float32."""
    operator = OPERATORS[name]
    denoise = Crooked(RNG(0).normal(size=(SIZE, SIZE)))
    step = jax.jit(lambda of, x, lam: method(denoise, of)(x, lam))
    for size in (1e-4, 1.0, 1e4):
        scaled = Diagonal(jnp.asarray(size, jnp.float32)) @ operator
        for seed, (noise, lam) in enumerate([(0.3, 0.0), (1e-3, -6.0), (0.0, 2.0), (0.1, 10.0), (1.0, -12.0)]):
            x = jnp.asarray(RNG(seed).normal(size=SHAPE), jnp.float32)
            y = np.asarray(scaled(x)) + size * RNG(seed + 9).normal(size=np.shape(scaled(x)))
            left = [
                np.linalg.norm(y - scaled(d)) for d in (denoise(x, lam), step(Measurement(scaled, y, noise), x, lam))
            ]
            assert left[1] <= left[0] * (1 + 1e-4), (size, noise, lam)


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


@pytest.mark.parametrize("name", ["periodic blur", "bin", "mask", "slices"])
def test_ddnm_trusts_data_noisier_than_the_image_less(name, x64):
    """Each 1/a of the pseudo-inverse is at most σ/(α s), by the singular values of the operator's matrix."""
    prior, of = white(0.7), measured(OPERATORS[name], 2.0)
    x = jnp.asarray(RNG(9).normal(size=SHAPE))
    left, singular, right = np.linalg.svd(matrix(of.operator), full_matrices=False)
    for lam in (-2.0, 1.0):
        x0 = prior(x, lam)
        kept = singular > 1e-6 * singular.max()
        gain = np.where(kept, np.minimum(1 / np.where(kept, singular, 1), np.exp(-lam) / 2.0), 0)
        want = right.T @ (gain * (left.T @ np.ravel(of.at(x0).residual)))
        np.testing.assert_allclose(np.ravel(DDNM(prior, of)(x, lam) - x0), want, rtol=1e-6, atol=1e-9)


def test_damped_inverse_of_weights(x64):
    weights = jnp.asarray([[[0.0], [-0.5]], [[2.0], [0.01]]])
    got = Diagonal(weights).damped_inverse(jnp.ones((2, 2, 1)), 3.0)
    np.testing.assert_allclose(np.ravel(got), [0.0, -2.0, 0.5, 3.0])


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
    with pytest.raises(ValueError, match="variance=0"):
        PiGDM(white(1.0), measured(OPERATORS["bin"], 0.1), 0.0)
    with pytest.raises(ValueError, match="the size that was recorded"):
        DDNM(white(1.0), Measurement(OPERATORS["bin"], np.ones((4, 4, 1)), 0.1))(jnp.ones(SHAPE), 0.0)


@pytest.mark.parametrize("operator", [OPERATORS["bin"], OPERATORS["mask"]], ids=["bin", "mask"])
def test_the_misfit_of_the_truth_and_of_the_posterior_is_that_of_the_noise(operator):
    """n misfit ~ χ² with n degrees of freedom, for the truth and, over recordings, for samples of the posterior."""
    A, noise, rng = matrix(operator), 0.3, RNG(20)
    rows = np.count_nonzero(np.any(A != 0, axis=1))
    gain = A.T @ np.linalg.inv(A @ A.T + noise**2 * np.eye(len(A)))
    root = np.linalg.cholesky(np.eye(SIZE) - gain @ A)
    values, like = [], operator(jnp.ones(SHAPE)).shape
    for _ in range(64):
        truth = rng.normal(size=SIZE)
        y = A @ truth + noise * rng.normal(size=len(A))
        sample = gain @ y + root @ rng.normal(size=SIZE)
        y = y.reshape(like)
        told = misfit(Measurement(operator, y, noise), np.stack([truth, sample]).reshape(2, *SHAPE).astype(np.float32))
        values.append(told.values)
    mean, bound = np.mean(values, axis=0), 4 * np.sqrt(2 / rows / 64)
    assert np.all(abs(mean - 1) < bound)
    assert told.low < 1 < told.high


def test_samples_say_which_of_them_diverged():
    """A denoiser that pulls too hard stays finite, and may do so with one image alone; without a measurement none is told."""

    class Pulled(eqx.Module):
        measurement: Measurement
        gain: np.ndarray

        def __call__(self, x, lam, cond=None):
            return x * 0 + (1 + cond * self.gain) * self.measurement.y  # D by image: right, or far off

    y = np.random.default_rng(3).normal(size=(8, 6, 1)).astype(np.float32)
    seen = Measurement(Mask(np.ones((8, 6, 1), bool)), y, 0.1)
    grid, off = np.linspace(-4.0, 6.0, 4), np.array([0.0, 1e3, 0.0], np.float32)
    run = {"shape": (8, 6, 1), "num": 3, "grid": grid, "solver": jd.DDIM()}
    out = jd.sample(jax.random.key(0), Pulled(seen, np.ones(())), cond=off, **run)
    assert out.finite.all()
    assert list(out.diverged) == [False, True, False]
    np.testing.assert_array_equal(out.misfit.values, misfit(seen, out.images).values)
    alone = jd.sample(jax.random.key(0), jd.analytic.Gaussian(y, 1.0), **run)
    assert alone.misfit is None
    assert not alone.diverged.any()
    # Behind a function that does not pass the measurement on, values far beyond training still tell.
    lost = jd.sample(jax.random.key(0), lambda x, lam, cond: Pulled(seen, np.ones(()))(x, lam, cond), cond=off, **run)
    assert lost.misfit is None
    assert list(lost.diverged) == [False, True, False]
    for wrapped in (jd.guidance.autoguidance, lambda d, _: jd.guidance.classifier_free(d, 1.5, null=np.float32(0))):
        guided = wrapped(Pulled(seen, np.ones(())), Pulled(seen, np.ones(())))
        assert jd.sample(jax.random.key(0), guided, cond=off, **run).measurement is seen
    assert windowed(Pulled(seen, np.ones(())), 8, 2).measurement is seen


def test_the_misfit_says_which_sample_did_diverge():
    operator, noise = OPERATORS["bin"], 0.1
    truth = RNG(0).normal(size=(64, 64, 1)).astype(np.float32)
    y = np.asarray(operator(jnp.asarray(truth))) + noise * RNG(1).normal(size=(32, 32, 1))
    images = np.stack([truth, truth + 1e3, truth + 0.3, np.repeat(np.repeat(y, 2, 0), 2, 1), truth * np.nan])
    told = misfit(Measurement(operator, y, noise), images)
    np.testing.assert_array_equal(told.explains, [True, False, False, False, False])
    np.testing.assert_array_equal(told.diverged, [False, True, True, False, True])
    images = np.stack([truth, truth + 40 * (np.arange(64)[:, None, None] % 2 - 0.5).astype(np.float32)])
    assert list(misfit(Measurement(operator, y, noise), images).diverged) == [False, False]
    far = np.stack([truth + 80 * (np.arange(64)[:, None, None] % 2 - 0.5).astype(np.float32)])
    assert misfit(Measurement(operator, y, noise), far).diverged[0]  # unseen by the operator, but no image
    exact = misfit(Measurement(operator, operator(jnp.asarray(truth)), 0.0), truth[None])
    assert exact.values[0] < exact.low  # without noise nothing is left
    assert not exact.diverged[0]


def test_what_y_says_under_a_mask_is_not_heard(x64):
    operator, prior = OPERATORS["mask"], white(0.7)
    x, y = jnp.asarray(RNG(5).normal(size=SHAPE)), RNG(6).normal(size=SHAPE)
    for noise in (0.0, 0.3):
        some, other = (Measurement(operator, np.where(operator.weights, y, under), noise) for under in (0.0, 50.0))
        for method in (DPS, MMPS, PiGDM, DiffPIR, DDNM):
            np.testing.assert_array_equal(method(prior, some)(x, 0.4), method(prior, other)(x, 0.4))
        np.testing.assert_array_equal(misfit(some, x[None]).values, misfit(other, x[None]).values)
