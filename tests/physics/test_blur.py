import numpy as np
import pytest

from jaxdiff.physics.blur import gaussian_blur


@pytest.mark.parametrize("spatial", [(40, 44), (20, 24, 28)])
def test_a_point_becomes_a_gaussian_of_the_given_width_and_the_same_light(spatial):
    sigma = (1.5, 2.5, 3.0)[: len(spatial)]
    point = np.zeros((*spatial, 2))
    point[(*(n // 2 for n in spatial), 1)] = 3.0
    blurred = gaussian_blur(point, sigma)
    assert not blurred[..., 0].any()
    assert blurred.sum() == pytest.approx(3)
    for axis, n in enumerate(spatial):
        along = blurred[..., 1].sum(tuple(a for a in range(len(spatial)) if a != axis)) / 3
        # the kernel ends at 4 sigma, beyond which lies 0.1 % of the variance
        assert along @ (np.arange(n) - n // 2) ** 2 == pytest.approx(sigma[axis] ** 2, rel=3e-3)


def test_it_is_its_own_adjoint_and_keeps_a_constant_image():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, 14, 3))
    sigma = (6.0, 0.8)  # kernels wider and narrower than the image
    assert (gaussian_blur(x, sigma) * y).sum() == pytest.approx((x * gaussian_blur(y, sigma)).sum())
    np.testing.assert_allclose(gaussian_blur(np.full((9, 14, 1), 7.0), sigma), 7)


def test_no_width_is_no_change_and_integers_are_not_rounded():
    image = np.random.default_rng(0).integers(0, 4095, (12, 16, 1)).astype(np.uint16)
    same = gaussian_blur(image, (0, 0))
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, image)
    np.testing.assert_allclose(gaussian_blur(image, (1, 1)), gaussian_blur(image.astype(np.float64), (1, 1)), rtol=1e-5)


@pytest.mark.parametrize("sigma", [(1.0,), (1.0, 1.0, 1.0), (1.0, -1.0), (1.0, float("nan"))])
def test_unusable_widths_are_refused(sigma):
    with pytest.raises(ValueError, match=r"got sigma=.*; expected .*; to fix: "):
        gaussian_blur(np.zeros((8, 8, 1)), sigma)
