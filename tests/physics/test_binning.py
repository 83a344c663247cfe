import numpy as np
import pytest

from jaxdiff.data.patches import bin_image
from jaxdiff.physics.binning import area_binning


def test_each_pixel_is_the_mean_of_its_block_along_every_axis():
    image = np.random.default_rng(0).integers(0, 65535, (5, 7, 9, 2)).astype(np.uint16)
    binned = area_binning(image, (2, 3, 1))
    assert (binned.shape, binned.dtype) == ((2, 2, 9, 2), np.float32)
    for z, y, x in np.ndindex(2, 2, 9):
        block = image[2 * z : 2 * z + 2, 3 * y : 3 * y + 3, x].reshape(-1, 2)
        np.testing.assert_allclose(binned[z, y, x], block.mean(axis=0), rtol=1e-7)


def test_the_documented_adjoint_is_the_adjoint():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 9, 1)), rng.normal(size=(3, 3, 1))
    back = np.zeros_like(x)
    back[:6] = y.repeat(2, 0).repeat(3, 1) / 6
    assert (area_binning(x, (2, 3)) * y).sum() == pytest.approx((x * back).sum(), rel=1e-5)


@pytest.mark.parametrize("shape", [(12, 15, 1), (3, 13, 12, 2)])
def test_in_the_plane_it_is_the_binning_of_data_sets(shape):
    image = np.random.default_rng(2).integers(0, 65535, shape).astype(np.uint16)
    np.testing.assert_array_equal(area_binning(image, (1,) * (len(shape) - 3) + (4, 4)), bin_image(image, 4))


@pytest.mark.parametrize("factors", [(2,), (2, 2, 1), (0, 2), (2, 1.5), (9, 1)])
def test_unusable_factors_are_refused(factors):
    with pytest.raises(ValueError, match=r"got factors=.*; expected .*; to fix: "):
        area_binning(np.zeros((8, 8, 1)), factors)
