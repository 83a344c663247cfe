"""Densities by the probability-flow ODE beside closed forms, in float64; the way to noise and back."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxdiff as jd
from jaxdiff.analytic import Gaussian, GaussianMixture

RNG = np.random.default_rng
SHAPE, SIZE = (2, 3, 1), 6
ENDS = (-9.0, 4.0)
LEFT = np.exp(-2 * ENDS[1])
"""Variance of the noise that is left at the clean end."""
BASE = RNG(0).normal(size=(SIZE, SIZE)) / 2
COV = BASE @ BASE.T + 0.2 * np.eye(SIZE)
MEAN = RNG(1).normal(size=SHAPE)
IMAGES = RNG(2).normal(size=(5, *SHAPE))
MIXTURE = GaussianMixture(RNG(3).normal(size=(3, *SHAPE)), [0.5, 0.3, 0.8], [0.2, 0.3, 0.5])


def of_gaussian(images):
    flat = stats.multivariate_normal(MEAN.ravel(), COV + LEFT * np.eye(SIZE))
    return flat.logpdf(images.reshape(len(images), SIZE))


def of_mixture(images):
    stds, means = np.sqrt(np.asarray(MIXTURE.stds) ** 2 + LEFT), np.asarray(MIXTURE.means)
    parts = [
        w + stats.norm(m, s).logpdf(images).sum(axis=(1, 2, 3))
        for w, m, s in zip(np.asarray(MIXTURE.log_weights), means, stds)
    ]
    return np.logaddexp.reduce(parts, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "closed"), [(lambda: Gaussian(MEAN, COV), of_gaussian), (lambda: MIXTURE, of_mixture)]
)
def test_log_likelihood_is_the_closed_form(prior, closed, x64):
    prior = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), prior())
    found = jd.log_likelihood(jax.random.key(0), prior, IMAGES, ends=ENDS)
    np.testing.assert_allclose(found.nats, closed(IMAGES), atol=1e-4)
    np.testing.assert_allclose(found.bits_per_dim, -np.asarray(found.nats) / (SIZE * np.log(2)))
    # in batches: the last is smaller, and nothing else changes
    parts = jd.log_likelihood(jax.random.key(0), prior, IMAGES, ends=ENDS, batch=3)
    np.testing.assert_allclose(parts.nats, found.nats, rtol=1e-12)


def test_hutchinsons_estimate_has_no_bias(x64):
    prior = Gaussian(MEAN, COV)
    images = np.repeat(IMAGES[:1], 512, axis=0)
    found = np.asarray(jd.log_likelihood(jax.random.key(1), prior, images, ends=ENDS, probes=1, batch=512).nats)
    assert abs(found.mean() - of_gaussian(IMAGES)[0]) < 4.5 * found.std() / np.sqrt(512)
    assert found.std() > 0.1  # the control: signs do differ between images
    four = np.asarray(jd.log_likelihood(jax.random.key(1), prior, images, ends=ENDS, probes=4, batch=512).nats)
    np.testing.assert_allclose(four.std(), found.std() / 2, rtol=0.2)


def test_there_and_back(x64):
    tight = {"solver": diffrax.Tsit5(), "controller": diffrax.PIDController(rtol=1e-7, atol=1e-7)}
    noise = jd.encode(MIXTURE, IMAGES, ends=ENDS, **tight)
    back = jd.sample(
        jax.random.key(0), MIXTURE, shape=SHAPE, num=5, start=noise, grid=np.array(ENDS), final="state", **tight
    )
    np.testing.assert_allclose(np.asarray(back.images) / float(jd.alpha(ENDS[1])), IMAGES, atol=1e-5)
    # noise is noise: x at the noisy end of images of the model
    found = jd.log_likelihood(jax.random.key(0), MIXTURE, IMAGES, ends=ENDS)
    np.testing.assert_allclose(found.latents, noise, atol=1e-3)


def test_the_way_between_two_states_stays_on_the_shell():
    a, b = RNG(4).normal(size=(2, 64, 64, 1))
    way = np.asarray(jd.slerp(a, b, np.linspace(0, 1, 5)))
    np.testing.assert_allclose(way[0], a, atol=1e-5)
    np.testing.assert_allclose(way[-1], b, atol=1e-5)
    np.testing.assert_allclose(way.std(axis=(1, 2, 3)), 1, atol=0.03)
    assert np.std((a + b) / 2) < 0.75  # the control: a straight line leaves it
    np.testing.assert_allclose(jd.slerp(a, a, 0.3), a, rtol=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"ends=\(4.0, -9.0\)"):
        jd.encode(MIXTURE, IMAGES, ends=(4.0, -9.0))
    with pytest.raises(ValueError, match="probes=0"):
        jd.log_likelihood(jax.random.key(0), MIXTURE, IMAGES, ends=ENDS, probes=0)
