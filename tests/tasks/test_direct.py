"""A noisy image as the model's own x, outlier scores, and bits per dimension in the data's units."""

import dataclasses

import jax
import numpy as np
import pytest
from exact_models import Gaussian, exact
from scipy import stats

from jaxdiff.data.normalise import Normaliser
from jaxdiff.physics.camera import Camera
from jaxdiff.tasks import Familiar, denoise_directly

WHITE = exact(Gaussian(0.0, 0.0, 1.0))
"""Pixels of N(100, 20²)."""
EVEN = Camera(gain=1e-6, read_noise=10e6)
RNG = np.random.default_rng


def noisy(*size):
    truth = RNG(0).normal(100, 20, (*size, 1))
    return truth + RNG(1).normal(0, 10, truth.shape)


@pytest.mark.parametrize("size", [(8, 8), (13, 20)])
def test_one_call_is_the_mean_and_more_are_samples_of_the_posterior(size):
    y, weight = noisy(*size), 400 / 500
    mean = 100 + weight * (y - 100)
    np.testing.assert_allclose(denoise_directly(jax.random.key(0), WHITE, y, EVEN).image, mean, rtol=1e-4)
    got = denoise_directly(jax.random.key(0), WHITE, y, EVEN, 64, calls=32)
    rest = (got.samples - mean) / (10 * np.sqrt(weight))
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size) + 0.01
    assert 0.9 < rest.std() < 1.02


def test_photons_are_even_under_an_anscombe_normaliser_and_not_under_a_linear_one():
    light = RNG(2).uniform(20, 400, (32, 32, 1))
    light = np.repeat(np.repeat(light[::8, ::8], 8, 0), 8, 1)
    y = RNG(3).poisson(light).astype(float)
    stable = Normaliser("anscombe", (0.0,), (1.0,), (25.0,), (10.0,))
    denoise_directly(jax.random.key(0), dataclasses.replace(WHITE, normaliser=stable), y, Camera())
    with pytest.raises(ValueError, match=r"noise of standard deviation .* in the model's units; expected the same"):
        denoise_directly(jax.random.key(0), WHITE, y, Camera())


def test_the_noise_of_a_camera_has_mean_0_in_its_units():
    """Prior z ~ N(0, 1) where 9 + 1.5 z is the stabilised light."""
    camera = Camera(gain=40.0, offset=130.0, read_noise=2.0)
    of = Normaliser("anscombe", (130.0 - 40.0 * 4,), (40.0,), (9.0,), (1.5,))
    z = RNG(2).normal(size=(160, 160, 1))
    y = camera.record(RNG(3), np.maximum(of.inverse(z) - 130.0, 0) / 40.0)
    got = denoise_directly(jax.random.key(0), dataclasses.replace(WHITE, normaliser=of), y, camera)
    size = 1 / 1.5
    weight = 1 / (1 + size**2)
    rest = of.forward(got.image) - weight * z
    assert abs(rest.mean()) < 4.5 * weight * size / 160 + 0.01 * size  # 0.07 * size without the quarter of an electron
    assert 0.97 < rest.std() / (weight * size) < 1.03


def test_images_of_another_kind_score_higher():
    known, same = RNG(4).normal(100, 20, (2, 40, 8, 8, 1))
    bright, empty = 100 + 3 * (same - 100), np.full((40, 8, 8, 1), 100.0)
    score = Familiar.fit(jax.random.key(0), WHITE, known)
    marks = {
        n: score.score(jax.random.key(1), WHITE, v) for n, v in {"same": same, "bright": bright, "empty": empty}.items()
    }
    assert 0.7 < np.sqrt(np.mean(marks["same"] ** 2)) < 1.3
    assert marks["bright"].min() > marks["same"].max()
    assert marks["empty"].min() > marks["same"].max()
    with pytest.raises(ValueError, match="at least 2"):
        Familiar.fit(jax.random.key(0), WHITE, known[:1])
    with pytest.raises(ValueError, match="the model's window"):
        score.score(jax.random.key(1), WHITE, known[:, :4])


@pytest.mark.parametrize("map", ["linear", "asinh", "anscombe"])
def test_bits_per_dim_are_those_of_the_data_units(map):
    """Model units are N(0, 1), so that x = inverse(z) has a density in closed form, and its mean −log2 is the entropy."""
    normaliser = Normaliser(map, (100.0,), (7.0,), (60.0 if map == "anscombe" else 2.0,), (3.0,))
    model = dataclasses.replace(WHITE, normaliser=normaliser)
    z = RNG(5).normal(size=(4, 8, 8, 1))
    x = normaliser.inverse(z)
    step = 1e-4
    slope = (normaliser.inverse(z + step) - normaliser.inverse(z - step)) / (2 * step)
    np.testing.assert_allclose(normaliser.log_slope(x), -np.log(slope), atol=1e-5)
    end = 5.0
    density = stats.norm(0, np.sqrt(1 + np.exp(-2 * end))).logpdf(z) - np.log(slope)
    want = -density.mean(axis=(1, 2, 3)) / np.log(2)
    np.testing.assert_allclose(model.bits_per_dim(jax.random.key(0), x, end=end), want, atol=2e-3)


def test_integers_are_grey_levels_of_width_one():
    """White noise of 20 grey levels, rounded: −log2 of a normal density, and the entropy log2(20 √(2πe)) = 6.37 bits."""
    x = np.round(RNG(6).normal(100, 20, (4, 8, 8, 1))).astype(np.uint16)
    found = WHITE.bits_per_dim(jax.random.key(0), x)
    assert abs(found.mean() - np.log2(20 * np.sqrt(2 * np.pi * np.e))) < 4.5 * 0.72 / np.sqrt(x.size) + 0.01
