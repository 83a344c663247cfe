"""Richardson-Lucy: the likelihood rises, light is kept, and it is scikit-image's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.physics.operators import Bin, Convolution
from jaxdiff.physics.psf import gaussian_psf
from jaxdiff.physics.richardson_lucy import richardson_lucy

PSF = gaussian_psf((1.5, 1.0))


def scene():
    rng = np.random.default_rng(0)
    x = np.zeros((24, 30, 1))
    x[rng.integers(0, 24, 12), rng.integers(0, 30, 12)] = 400.0
    return x + 2.0


def likelihood(y, mean):
    return float(jnp.sum(y * jnp.log(mean) - mean))


@pytest.mark.parametrize("boundary", ["zero", "reflect", "periodic"])
def test_every_step_raises_the_likelihood_and_an_exact_image_stays(boundary, x64):
    operator, x = Convolution(jnp.asarray(PSF), boundary), jnp.asarray(scene())
    y = jnp.asarray(np.random.default_rng(1).poisson(np.asarray(operator(x))).astype(float))
    found = [richardson_lucy(operator, y, steps) for steps in (1, 2, 5, 20)]
    rising = [likelihood(y, operator(image)) for image in found]
    assert rising == sorted(rising)
    assert all(float(image.min()) >= 0 for image in found)
    np.testing.assert_allclose(richardson_lucy(operator, operator(x), 3, start=x), x, rtol=1e-6)
    # Aᵀ1-weighted light is that of the data, exactly, after every step.
    np.testing.assert_allclose((operator.adjoint(jnp.ones_like(y)) * found[1]).sum(), y.sum(), rtol=1e-9)


def test_it_sharpens_binned_data_and_knows_of_a_background(x64):
    operator = Bin((2, 2)) @ Convolution(jnp.asarray(PSF))
    x = jnp.asarray(scene())
    start = jnp.full_like(x, x.mean())
    image = richardson_lucy(operator, operator(x) + 7.0, 400, start, background=7.0)
    assert float(jnp.sum((image - x) ** 2)) < 0.7 * float(jnp.sum((start - x) ** 2))
    np.testing.assert_allclose(operator(image), operator(x), atol=0.03 * float(operator(x).max()))


def test_it_is_that_of_scikit_image(x64):
    restoration = pytest.importorskip("skimage.restoration")
    y = np.random.default_rng(2).poisson(scene()[..., 0]).astype(float) + 1.0
    want = restoration.richardson_lucy(y, PSF, num_iter=12, clip=False)
    operator = Convolution(jnp.asarray(PSF), "zero")
    start = jnp.full((*y.shape, 1), 0.5)
    got = richardson_lucy(operator, jnp.asarray(y)[..., None], 12, start, sensitivity=False)
    np.testing.assert_allclose(got[..., 0], want, rtol=1e-5, atol=1e-6)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps=0"):
        richardson_lucy(Bin((1, 1)), jax.numpy.ones((2, 2, 1)), 0)
