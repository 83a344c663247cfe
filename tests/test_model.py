"""`Model`: what a run's model samples, in data units, by class and with guidance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

import jaxdiff as jd
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.guidance.posterior import MMPS, Measurement, misfit
from jaxdiff.model import Model
from jaxdiff.physics.operators import Diagonal


@pytest.fixture(scope="module")
def model():
    """A tiny network of three classes with parameters that are not zero, and an asinh normaliser."""
    network = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), num_classes=3)
    params = random_variables(network, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))
    rng = np.random.default_rng(0)
    images = [rng.gamma(2.0, 200.0, (32, 32, 1)) + 100.0 for _ in range(4)]
    info = DataInfo(class_names=("round", "long", "bright"))
    return Model(
        denoise=jd.bind(network, params),
        network=network,
        schedule=jd.Cosine(),
        shape=(8, 8, 1),
        normaliser=Normaliser.fit(images, map="asinh"),
        info=info,
    )


def test_images_are_those_of_sample_in_data_units(model):
    cond = model.condition(4, np.array([0, 1, 2, -1]))
    out = model.sample(jax.random.key(2), 4, calls=3, cond=cond)
    inner = jd.sample(
        jax.random.key(2), model.denoise, shape=(8, 8, 1), num=4, solver=jd.DPMpp(2), grid=model.grid(3), cond=cond
    )
    np.testing.assert_allclose(out.images, model.normaliser.inverse(np.asarray(inner.images)), rtol=1e-5)
    assert out.nfe == 3


def test_it_starts_from_images_and_keeps_states_and_images(model):
    """States are in model units, D of each step in those of the data; what is no image is left as it is."""
    prior = jd.analytic.Gaussian(np.zeros((8, 8, 1)), np.ones((8, 8, 1)))
    exact = dataclasses.replace(model, denoise=prior)
    grid, key = np.linspace(0.0, 2.0, 3), jax.random.key(3)
    images = np.asarray(model.normaliser.inverse(np.random.default_rng(1).normal(size=(2, 8, 8, 1))), np.float32)
    start = jd.noise(key, exact.normaliser.forward(images), lam=grid[0])
    options = dict(grid=grid, start=start, solver=jd.DDIM(), trajectory=1)
    out = exact.sample(key, 2, keep_x0=True, **options)
    inner = jd.sample(key, prior, shape=(8, 8, 1), num=2, keep_x0=True, **options)
    np.testing.assert_array_equal(out.trajectory, inner.trajectory)
    np.testing.assert_allclose(out.x0, exact.normaliser.inverse(np.asarray(inner.x0)), rtol=1e-6)
    np.testing.assert_array_equal(out.x0[:, -1], out.images)
    state = exact.sample(key, 2, final="state", **options)
    np.testing.assert_allclose(state.images, out.trajectory[:, -2], atol=1e-6)
    assert not out.diverged.any()
    far = exact.sample(key, 2, **{**options, "start": 1e4 * start})
    assert far.finite.all()
    assert far.diverged.all()


def test_posterior_samples_are_held_against_the_measurement(model):
    """In data units the misfit is that of the images in model units; far off for another y."""
    prior = jd.analytic.Gaussian(np.zeros((8, 8, 1)), np.ones((8, 8, 1)))
    model = dataclasses.replace(model, denoise=prior)
    y = np.random.default_rng(0).normal(size=(8, 8, 1))
    measurement = Measurement(Diagonal(np.ones((8, 8, 1))), y, 0.3)
    out = model.sample(jax.random.key(0), 3, calls=20, guidance=lambda d: MMPS(d, measurement))
    normal = model.normaliser.forward(out.images)
    np.testing.assert_allclose(out.misfit.values, misfit(measurement, normal).values, rtol=1e-3)
    assert not out.diverged.any()
    far = Measurement(measurement.operator, y + 30.0, 0.3)
    assert misfit(far, out.normal).diverged.all()


def test_label_and_guidance_change_the_images_and_scale_one_does_not(model):
    key, cond = jax.random.key(2), model.condition(2, 1)
    plain = np.asarray(model.sample(key, 2, calls=3, cond=cond).images)
    other = np.asarray(model.sample(key, 2, calls=3, cond=model.condition(2, 2)).images)
    strong = np.asarray(model.sample(key, 2, calls=3, cond=cond, guidance=3.0).images)
    null = np.asarray(model.sample(key, 2, calls=3, cond=model.condition(2, -1)).images)
    without = np.asarray(model.sample(key, 2, calls=3).images)
    assert not np.allclose(plain, other)
    assert not np.allclose(plain, strong)
    np.testing.assert_allclose(null, without, rtol=1e-5)


def test_guidance_may_be_a_function_of_the_denoiser(model):
    key, cond = jax.random.key(2), model.condition(2, 1)
    number = np.asarray(model.sample(key, 2, calls=3, cond=cond, guidance=3.0).images)
    function = model.sample(key, 2, calls=3, cond=cond, guidance=lambda d: jd.guidance.classifier_free(d, 3.0)).images
    np.testing.assert_array_equal(function, number)
    alone = model.sample(key, 2, calls=3, guidance=lambda d: jd.guidance.autoguidance(d, d, 4.0)).images
    np.testing.assert_allclose(alone, model.sample(key, 2, calls=3).images, rtol=1e-5)


def test_unknown_classes_are_named(model):
    with pytest.raises(ValueError, match="2 bright"):
        model.condition(2, 3)
