"""The synthetic microscope as truth for denoising: `clean` is what the mean of many recordings becomes."""

import functools

import jax
import numpy as np
import pytest

from jaxdiff.data.sources.synthetic import Microscope, record
from jaxdiff.physics.camera import Camera

SCOPE = Microscope(electrons=60.0, read_noise=3.0)
CAMERA = Camera(gain=SCOPE.gain, offset=SCOPE.offset, read_noise=SCOPE.read_noise, full_well=SCOPE.full_well)
ROUNDING = 1 / 12  # variance of rounding to whole grey levels
# tiny programs compile much longer than they run
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def fields():
    """16 fields: "image" and "clean" (16, 24, 32), float64."""
    draw = quick_jit(lambda key: SCOPE.fields(key, 16, (24, 32))[:2])
    image, clean = (np.asarray(x, np.float64)[..., 0] for x in draw(jax.random.key(0)))
    assert clean.max() < SCOPE.offset + SCOPE.gain * SCOPE.full_well / 10  # below saturation, where all below holds
    return image, clean


def test_the_mean_of_many_recordings_is_the_clean_image(fields):
    clean, number = fields[1][0, :12, :16], 1000
    electrons = ((clean - SCOPE.offset) / SCOPE.gain).astype(np.float32)
    keys = jax.random.split(jax.random.key(1), number)
    recordings = np.asarray(quick_jit(jax.vmap(functools.partial(record, SCOPE, electrons=electrons)))(keys))
    variance = CAMERA.variance(clean) + ROUNDING
    errors = (recordings.mean(0) - clean) / np.sqrt(variance / number)
    # 192 standard normal numbers: one beyond 5 once in 9,000 tests, their mean beyond 4.5 / sqrt(192) in 150,000
    assert np.abs(errors).max() < 5
    assert abs(errors.mean()) < 4.5 / np.sqrt(errors.size)
    spread = recordings.var(0, dtype=np.float64) / variance
    assert np.abs(spread - 1).max() < 5 * np.sqrt((2 + 1 / electrons.min()) / number)


def test_one_recording_of_each_field_scatters_about_its_own_clean_image(fields):
    image, clean = fields
    errors = (image - clean) / np.sqrt(CAMERA.variance(clean) + ROUNDING)
    for bright in (clean < np.median(clean), clean >= np.median(clean)):
        assert abs(errors[bright].mean()) < 4.5 / np.sqrt(bright.sum())
        assert errors[bright].var() == pytest.approx(1, abs=4.5 * np.sqrt(2.1 / bright.sum()))
    stranger = (image - np.roll(clean, 1, axis=0)) / np.sqrt(CAMERA.variance(clean) + ROUNDING)
    assert stranger.var() > 3


def test_the_noise_of_neighbouring_pixels_is_independent(fields):
    image, clean = fields
    errors = (image - clean) / np.sqrt(CAMERA.variance(clean) + ROUNDING)
    for a, b in ((errors[:, 1:], errors[:, :-1]), (errors[..., 1:], errors[..., :-1]), (errors[1:], errors[:-1])):
        assert abs((a * b).mean()) < 4.5 / np.sqrt(a.size)


def test_a_camera_of_the_same_numbers_makes_the_same_noise(fields):
    """The pair may be made anew from `clean` in every epoch: moments of the host's camera and of the microscope's."""
    image, clean = fields
    rng = np.random.default_rng(0)
    again = CAMERA.record(rng, (clean - SCOPE.offset) / SCOPE.gain).astype(np.float64)
    sizes = np.sqrt(CAMERA.variance(clean))
    for power in (2, 3):
        a, b = ((((x - clean) / sizes) ** power) for x in (image, again))
        error = np.sqrt((a.var() + b.var()) / a.size)
        assert abs(a.mean() - b.mean()) < 4.5 * error + ROUNDING / sizes.min() ** 2
