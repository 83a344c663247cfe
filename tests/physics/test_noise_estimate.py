"""Gain and noise from one image, beside the camera that recorded it."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.physics.camera import Camera
from jaxdiff.physics.noise_estimate import estimate_noise


def recorded(camera, electrons=200.0, shape=(160, 160), seed=0):
    """Smooth blobs, as any lens makes them."""
    rng = np.random.default_rng(seed)
    light = ndimage.gaussian_filter(rng.random(shape), (0,) * (len(shape) - 2) + (6, 6))
    light = electrons * np.clip((light - light.min()) / np.ptp(light), 0, 1) ** 2
    return camera.record(rng, light)[..., None]


@pytest.mark.parametrize("camera", [Camera(gain=2.0, offset=100.0, read_noise=3.0), Camera(gain=0.4, offset=500.0)])
@pytest.mark.parametrize("shape", [(160, 160), (6, 80, 80)])
def test_the_camera_is_found(camera, shape):
    image = recorded(camera, shape=shape)
    found = estimate_noise(image)
    np.testing.assert_allclose(found.slope, camera.gain, rtol=0.12)
    others = [estimate_noise(recorded(camera, shape=shape, seed=seed)) for seed in (1, 2)]
    read = [each.camera(camera.offset).read_noise for each in (found, *others)]
    np.testing.assert_allclose(np.median(read), camera.read_noise, atol=1.4)
    levels = np.quantile(image, [0.2, 0.5, 0.9])
    for guess in (found.camera(), found.camera(camera.offset)):  # the same noise, however it is split
        np.testing.assert_allclose(guess.variance(levels), camera.variance(levels), rtol=0.15)
    assert 0.9 < found.ratio(camera) < 1.1


def test_another_gain_contradicts():
    camera = Camera(gain=2.0, offset=100.0, read_noise=3.0)
    found = estimate_noise(recorded(camera))
    assert found.ratio(Camera(gain=4.0, offset=100.0, read_noise=3.0)) < 0.5
    assert found.ratio(Camera(gain=1.0, offset=100.0, read_noise=3.0)) > 2


def test_noise_that_does_not_grow_with_light_is_read_noise():
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.random((160, 160)), 8) * 1e4 + rng.normal(0, 7, (160, 160))
    camera = estimate_noise(image[..., None]).camera(0.0)
    np.testing.assert_allclose(np.sqrt(camera.variance([np.median(image)])), 7, rtol=0.05)


def test_pixels_that_are_left_out_do_not_count():
    camera = Camera(gain=2.0, offset=100.0)
    image = recorded(camera)
    saturated = image >= np.quantile(image, 0.97)
    broken = np.where(saturated, 4095.0, image)
    np.testing.assert_allclose(estimate_noise(broken, ~saturated).slope, 2.0, rtol=0.15)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="at least 64"):
        estimate_noise(np.ones((8, 8, 1)))
    with pytest.raises(ValueError, match="without noise"):
        estimate_noise(np.ones((64, 64, 1)))
