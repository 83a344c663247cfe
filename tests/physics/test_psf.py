"""Point spread functions beside closed forms of diffraction."""

import re
import warnings

import numpy as np
import pytest
from scipy import special

from jaxdiff.physics.psf import (
    Optics,
    _intensity,
    _through_pinhole,
    confocal_psf,
    gaussian_psf,
    measured_psf,
    widefield_psf,
)

DRY = Optics(numerical_aperture=0.75, emission=0.52)
OIL = Optics(numerical_aperture=1.4, emission=0.52, refractive_index=1.515)


def test_a_gaussian_has_its_variance_and_that_of_a_pixel():
    psf = gaussian_psf((1.5, 3.0), reach=8)
    assert psf.sum() == pytest.approx(1)
    for axis, sigma in enumerate((1.5, 3.0)):
        line = psf.sum(axis=1 - axis)
        place = np.arange(len(line)) - len(line) // 2
        assert line @ place == pytest.approx(0, abs=1e-12)
        assert line @ place**2 == pytest.approx(sigma**2 + 1 / 12, rel=1e-6)
    np.testing.assert_array_equal(gaussian_psf((0.0, 0.0)), [[1.0]])


def test_the_first_dark_ring_is_where_airy_has_it():
    r = np.linspace(0, 1, 20001)
    inside = r < 0.8 * DRY.emission / DRY.numerical_aperture
    dark = r[inside][np.argmin(_intensity(DRY, DRY.emission, r, 0.0)[inside])]
    assert dark == pytest.approx(
        special.jn_zeros(1, 1)[0] / (2 * np.pi) * DRY.emission / DRY.numerical_aperture, rel=1e-3
    )


def test_light_within_a_circle_is_rayleighs():
    psf = widefield_psf(DRY, (0.02, 0.02), shape=(301, 301), oversampling=1)
    y, x = np.indices(psf.shape) - 150
    r = 0.02 * np.hypot(y, x)
    # The whole plane holds 4π/(k NA)² at a peak of 1.
    k = 2 * np.pi / DRY.emission * DRY.numerical_aperture
    share = psf / psf.max() * 0.02**2 / (4 * np.pi / k**2)
    for radius in (0.3, 0.6, 1.5):
        v = k * radius
        want = 1 - special.j0(v) ** 2 - special.j1(v) ** 2
        assert share[r <= radius].sum() == pytest.approx(want, abs=3e-3)


@pytest.mark.parametrize("optics", [DRY, OIL])
@pytest.mark.parametrize("z", [0.05, 0.4, -2.0])
def test_the_axis_has_its_closed_form(optics, z):
    """∫ u e^{iau} du over cosines u is elementary."""
    a = 2 * np.pi / optics.emission * optics.refractive_index * z
    sine = optics.numerical_aperture / optics.refractive_index

    def primitive(u):
        return np.exp(1j * a * u) * (1 / a**2 - 1j * u / a)

    field = (primitive(1.0) - primitive(np.sqrt(1 - sine**2))) / sine**2
    assert _intensity(optics, optics.emission, np.zeros(1), z)[0] == pytest.approx(abs(2 * field) ** 2, rel=1e-9)


def test_every_slice_of_a_widefield_psf_holds_the_same_light():
    psf = widefield_psf(DRY, (0.5, 0.1, 0.1), shape=(5, 181, 181), oversampling=3)
    light = psf.sum(axis=(1, 2))
    np.testing.assert_allclose(light, light[2], rtol=0.02)
    np.testing.assert_allclose(psf, psf[::-1, ::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(psf, psf.transpose(0, 2, 1), atol=1e-12)


def test_a_confocal_psf_is_a_product_and_loses_its_pinhole_when_it_is_wide():
    pixel, shape = (0.05, 0.05), (41, 41)
    point = confocal_psf(DRY, excitation=0.488, pinhole=0.0, pixel_size=pixel, shape=shape, oversampling=1)
    first = Optics(numerical_aperture=0.75, emission=0.488)
    product = widefield_psf(DRY, pixel, shape=shape, oversampling=1) * widefield_psf(
        first, pixel, shape=shape, oversampling=1
    )
    np.testing.assert_allclose(point, product / product.sum(), atol=1e-12)
    wide = confocal_psf(DRY, excitation=0.488, pinhole=40.0, pixel_size=pixel, shape=shape, oversampling=1)
    laser = widefield_psf(first, pixel, shape=shape, oversampling=1)
    np.testing.assert_allclose(wide, laser, atol=0.02 * laser.max())
    small = confocal_psf(DRY, excitation=0.488, pinhole=0.02, pixel_size=pixel, shape=shape, oversampling=1)
    np.testing.assert_allclose(small, point, atol=5e-3 * point.max())


def test_the_mean_over_a_pinhole_is_that_of_its_points():
    r, radius = np.array([0.0, 0.1, 0.3, 0.31, 1.0]), 0.3
    rng = np.random.default_rng(0)
    s, angle = radius * np.sqrt((np.arange(400) + 0.5) / 400), rng.random((400, 400)) * 2 * np.pi
    far = np.hypot(r[:, None, None] + s[:, None] * np.cos(angle), s[:, None] * np.sin(angle))
    want = _intensity(DRY, DRY.emission, far.ravel(), 0.3).reshape(far.shape).mean(axis=(1, 2))
    np.testing.assert_allclose(_through_pinhole(DRY, radius, r, 0.3), want, atol=1e-3)


def test_default_shapes_hold_the_light():
    for psf in (
        widefield_psf(DRY, (0.1, 0.1)),
        confocal_psf(OIL, excitation=0.488, pinhole=0.3, pixel_size=(0.1, 0.1)),
    ):
        assert all(n % 2 for n in psf.shape)
        assert psf.sum() == pytest.approx(1)
    assert widefield_psf(DRY, (0.5, 0.1, 0.1)).ndim == 3


def test_a_measured_psf_is_made_of_sum_1_and_said_so():
    image = gaussian_psf((1.0, 1.0))
    np.testing.assert_allclose(measured_psf(image), image)
    with pytest.warns(UserWarning, match="sum was 50"):
        np.testing.assert_allclose(measured_psf(50 * image), image)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Optics(numerical_aperture=1.2, emission=0.5), "1.33 for water"),
        (lambda: Optics(numerical_aperture=0.5, emission=520), "0.52 for 520 nm"),
        (lambda: widefield_psf(DRY, (0.1,)), "Y X or Z Y X"),
        (lambda: widefield_psf(DRY, (0.1, 0.1), shape=(4, 5)), "odd sizes"),
        (lambda: confocal_psf(DRY, excitation=0.6, pinhole=0.1, pixel_size=(0.1, 0.1)), "excitation=0.6"),
        (lambda: confocal_psf(DRY, excitation=0.5, pinhole=-1, pixel_size=(0.1, 0.1)), "pinhole=-1"),
        (lambda: gaussian_psf((-1.0,)), "0 or more"),
        (lambda: measured_psf(np.ones((4, 4))), "odd sizes"),
        (lambda: measured_psf(np.full((3, 3), -1.0)), "subtract the background"),
        (lambda: measured_psf(np.eye(1, 49, 3).reshape(7, 7)), "peak at"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_the_support_leaves_out_is_said():
    """1 − J0² in a dark ring: 95.2 % in the circle of the fourth, more in the square around it, and 83.8 % in the first."""
    side = 2 * 0.61 * DRY.emission / DRY.numerical_aperture * np.sqrt(np.pi) / 2  # of a square as large as that circle
    with pytest.warns(UserWarning, match=r"a PSF of 63 x 63 pixels holds 9[56]\.\d % of the light of its planes"):
        widefield_psf(DRY, (0.048, 0.048))
    with pytest.warns(UserWarning, match=r"holds 83\.\d %.*larger shape="):
        widefield_psf(DRY, (side / 21, side / 21), shape=(21, 21))
    with pytest.warns(UserWarning, match=r"holds 69\.5 %"):  # one sigma
        gaussian_psf((20.0,), reach=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaussian_psf((2.0, 0.4, 0.0))
        widefield_psf(DRY, (0.1, 0.1), shape=(151, 151), oversampling=3)
        confocal_psf(DRY, excitation=0.488, pinhole=0.5, pixel_size=(0.05, 0.05), oversampling=3)
        confocal_psf(DRY, excitation=0.488, pinhole=0.5, pixel_size=(0.5, 0.1, 0.1), oversampling=3)


@pytest.mark.parametrize("pinhole", [0.0, 0.5, 3.0])
def test_the_light_of_a_confocal_plane_is_that_of_a_much_larger_support(pinhole):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        small = confocal_psf(
            DRY, excitation=0.488, pinhole=pinhole, pixel_size=(0.1, 0.1), shape=(5, 5), oversampling=9
        )
    large = confocal_psf(
        DRY, excitation=0.488, pinhole=pinhole, pixel_size=(0.1, 0.1), shape=(101, 101), oversampling=9
    )
    share = large[48:53, 48:53].sum()
    assert float(re.findall(r"holds ([\d.]+) %", str(said[0].message))[0]) == pytest.approx(100 * share, abs=0.4)
    np.testing.assert_allclose(small, large[48:53, 48:53] / share, rtol=1e-5)
