"""The camera against the closed forms of its noise; the inverse transform against its definition by quadrature."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from jaxdiff.physics.camera import Camera

DRAWS = 100_000
SIGMAS = 4.5  # each comparison of a mean fails by chance once in 150,000 times


@pytest.mark.parametrize("electrons", [0.0, 0.4, 5.0, 300.0])
def test_mean_and_variance(electrons):
    camera = Camera(gain=2.5, offset=100.0, read_noise=1.5)
    grey = camera.record(np.random.default_rng(0), np.full(DRAWS, electrons)).astype(np.float64)
    variance = camera.variance(100 + 2.5 * electrons)
    assert variance == pytest.approx(2.5**2 * (electrons + 1.5**2))
    assert abs(grey.mean() - (100 + 2.5 * electrons)) < SIGMAS * np.sqrt(variance / DRAWS)
    fourth_cumulant = 2.5**4 * electrons  # of the Poisson part; the normal part has none
    assert abs(grey.var() - variance) < SIGMAS * np.sqrt((fourth_cumulant + 2 * variance**2) / DRAWS)


def test_a_recording_is_float32_of_its_shape_and_repeats_with_its_generator():
    camera, electrons = Camera(read_noise=2.0), np.full((3, 4, 2), 7, np.uint16)
    first, again = (camera.record(np.random.default_rng(5), electrons) for _ in range(2))
    assert (first.dtype, first.shape) == (np.float32, (3, 4, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != np.rint(first)).any()


def test_without_read_noise_grey_levels_are_counts():
    grey = Camera(gain=2.0, offset=10.0).record(np.random.default_rng(0), np.full(1000, 3.3))
    counts = (grey - 10) / 2
    np.testing.assert_array_equal(counts, np.rint(counts))
    chances = [(counts == k).mean() for k in range(8)]
    np.testing.assert_allclose(chances, stats.poisson.pmf(range(8), 3.3), atol=SIGMAS * 0.5 / np.sqrt(1000))


def test_saturation_only_where_asked():
    rng = np.random.default_rng(0)
    assert Camera(gain=2.0, offset=5.0, full_well=50.0).record(rng, np.full(10, 1e4)).max() == 5 + 2 * 50
    assert Camera().record(rng, np.full(10, 1e6)).max() > 9e5
    assert Camera(read_noise=5.0).record(rng, np.zeros(1000)).min() < -5


@pytest.mark.parametrize("read_noise", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_transform_has_standard_deviation_near_one_above_a_few_electrons(read_noise):
    camera = Camera(gain=3.0, offset=50.0, read_noise=read_noise)
    for electrons in (3.0, 6.0, 20.0, 200.0):
        transformed = camera.generalised_anscombe(camera.record(np.random.default_rng(1), np.full(DRAWS, electrons)))
        # 5 % as documented, and 4.5 standard errors of the standard deviation
        assert transformed.std() == pytest.approx(1, abs=0.05 + SIGMAS / np.sqrt(2 * DRAWS))


def expected_transform(electrons, read_noise):
    """E[f(e)] of (3), by quadrature over the density of e, a sum of normal distributions."""
    shift = 3 / 8 + read_noise**2
    if read_noise == 0:
        return stats.poisson.expect(lambda k: 2 * np.sqrt(k + shift), args=(electrons,), tolerance=1e-14)
    counts = np.arange(electrons + 10 * np.sqrt(electrons) + 12)
    chances = stats.poisson.pmf(counts, electrons)

    def integrand(root):  # e = root² - shift takes the infinite slope of f at its end away
        return 4 * root**2 * chances @ stats.norm.pdf(root**2 - shift, counts, read_noise)

    edges = np.sqrt(np.linspace(0, counts[-1] + 9 * read_noise + shift, 40))
    return sum(integrate.quad(integrand, a, b, epsabs=1e-8)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize("read_noise", [0.0, 0.3, 2.0, 6.0])
@pytest.mark.parametrize("electrons", [0.0, 0.2, 1.0, 4.0, 30.0, 99.0, 101.0, 400.0])
def test_the_inverse_is_the_exact_unbiased_one(electrons, read_noise):
    camera = Camera(gain=2.0, offset=100.0, read_noise=read_noise)
    grey = camera.inverse_anscombe(expected_transform(electrons, read_noise))
    assert (grey - 100) / 2 == pytest.approx(electrons, abs=3e-4)


def test_the_closed_form_of_the_inverse_agrees_to_its_own_accuracy():
    """That of Mäkitalo and Foi 2013 is a fit: within 0.05 electrons here."""
    for sigma in (0.0, 1.0, 2.0):
        d = Camera(read_noise=sigma).generalised_anscombe(np.linspace(0.5, 200, 50))
        fit = d**2 / 4 + np.sqrt(3 / 2) / 4 / d - 11 / 8 / d**2 + 5 / 8 * np.sqrt(3 / 2) / d**3 - 1 / 8 - sigma**2
        np.testing.assert_allclose(Camera(read_noise=sigma).inverse_anscombe(d), np.maximum(fit, 0), atol=0.05)


def test_the_inverse_of_mean_transforms_is_unbiased_where_the_algebraic_one_is_not():
    camera, electrons = Camera(gain=2.0, offset=100.0, read_noise=1.0), 2.0
    grey = camera.record(np.random.default_rng(2), np.full(DRAWS, electrons))
    mean = camera.generalised_anscombe(grey).mean()
    error = np.sqrt(float(camera.variance(104.0)) / DRAWS)
    assert abs(camera.inverse_anscombe(mean) - 104) < SIGMAS * error
    algebraic = 100 + 2 * (mean**2 / 4 - 3 / 8 - 1)
    assert 104 - algebraic > 20 * error


def test_the_inverse_rises_and_starts_at_the_offset():
    camera = Camera(gain=2.0, offset=100.0, read_noise=2.0)
    grey = camera.inverse_anscombe(np.linspace(0, 60, 5000))
    assert grey[0] == 100
    assert (np.diff(grey) >= 0).all()
    assert np.abs(np.diff(grey)).max() < 2 * 60 / 5000 * 30 * 1.01  # slope of d²/4 at most: no step at the table's end


@pytest.mark.parametrize(
    "fields",
    [
        {"gain": 0.0},
        {"gain": float("nan")},
        {"read_noise": -1.0},
        {"read_noise": float("inf")},
        {"offset": float("nan")},
        {"full_well": 0.0},
    ],
)
def test_unphysical_cameras_are_refused(fields):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        Camera(**fields)


@pytest.mark.parametrize("electrons", [-1.0, float("nan"), float("inf")])
def test_unphysical_light_is_refused(electrons):
    with pytest.raises(ValueError, match=r"got expected electrons .*; to fix: "):
        Camera().record(np.random.default_rng(0), np.array([1.0, electrons]))
