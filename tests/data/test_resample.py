"""Resampling: places, sizes and light stay where they are, whatever the factor."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.object_size import ObjectSize, median_diameter
from jaxdiff.data.resample import resampled, resampled_mask, resampled_size, window_of, window_of_mask


def discs(diameter, shape=(240, 240), apart=1.6):
    step, grid = diameter * apart, np.indices(shape)
    mask = np.zeros(shape, np.int32)
    for number, place in enumerate(np.ndindex(*(int(n / step) for n in shape)), 1):
        y, x = ((p + 0.5) * step for p in place)
        mask[(grid[0] - y) ** 2 + (grid[1] - x) ** 2 < diameter**2 / 4] = number
    return mask


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.7, 2.0])
def test_a_plane_stays_a_plane(factor):
    y, x = np.indices((60, 80)) + 0.5
    image = (3 * y - 2 * x + 100)[..., None]
    size = resampled_size(image.shape[:2], factor)
    got = resampled(image, size)[..., 0]
    ratio = [m / n for m, n in zip(size, image.shape)]
    yy, xx = (np.indices(size) + 0.5) / np.array(ratio)[:, None, None]
    edge = int(np.ceil(10 * max(1, factor)))
    inner = (slice(edge, -edge),) * 2 if factor >= 1 else (slice(5, -5),) * 2
    np.testing.assert_allclose(got[inner], (3 * yy - 2 * xx + 100)[inner], atol=0.3)


def test_light_is_kept_and_fine_stripes_are_no_coarse_ones():
    stripes = 100.0 + 50 * (-1.0) ** np.indices((120, 120))[1][..., None]
    np.testing.assert_allclose(resampled(stripes, (40, 40))[:, 2:-2], 100, atol=2)
    np.testing.assert_allclose(resampled(np.full((50, 40, 2), 7, np.uint8), (33, 77)), 7, rtol=1e-6)
    image = np.random.default_rng(0).integers(0, 99, (20, 30, 1))
    assert resampled(image, (20, 30)) is image


@pytest.mark.parametrize("factor", [0.4, 1.3])
def test_a_window_is_the_same_part_of_the_whole(factor):
    image = np.random.default_rng(0).normal(size=(90, 120, 1))
    whole = window_of(image, (factor,) * 2, (0, 0), resampled_size((90, 120), factor))
    part = window_of(image, (factor,) * 2, (11, 7), (20, 25))
    np.testing.assert_allclose(part, whole[11:31, 7:32], atol=1e-5)
    mask = discs(20, (90, 120))
    whole = window_of_mask(mask, (factor,) * 2, (0, 0), resampled_size((90, 120), factor))
    np.testing.assert_array_equal(window_of_mask(mask, (factor,) * 2, (11, 7), (20, 25)), whole[11:31, 7:32])


def test_beyond_its_edges_a_field_is_mirrored():
    image = np.random.default_rng(0).normal(size=(20, 24, 1))
    around = window_of(image, (1.0, 1.0), (-15, -9), (50, 40))
    np.testing.assert_allclose(around, np.pad(image, ((15, 15), (9, 7), (0, 0)), mode="symmetric"), atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_a_window_anywhere_is_that_of_the_mirrored_field(seed):
    rng = np.random.default_rng(seed)
    n, factor, m = rng.integers(3, 40, 2), np.exp(rng.uniform(-1.2, 1)), rng.integers(2, 30, 2)
    start = rng.uniform(-30, n * factor + 10)  # wholly beside the field, too
    image, mask = rng.normal(size=(*n, 1)), rng.integers(0, 5, n)
    got = window_of(image, (factor,) * 2, start, m)[..., 0], window_of_mask(mask, (factor,) * 2, start, m)
    around = 240
    wide, wide_mask = (np.pad(one, around, mode="symmetric") for one in (image[..., 0], mask))
    wide = ndimage.gaussian_filter(wide, max(0.0, (1 / factor - 1) / 2), truncate=4) if factor < 1 else wide
    places = np.meshgrid(*((s + np.arange(k) + 0.5) / factor - 0.5 + around for s, k in zip(start, m)), indexing="ij")
    np.testing.assert_allclose(got[0], ndimage.map_coordinates(wide, places, order=1), atol=1e-5)
    np.testing.assert_array_equal(got[1], ndimage.map_coordinates(wide_mask, places, order=0))


@pytest.mark.parametrize("diameter", [9.0, 20.0, 50.0])
def test_discs_of_known_diameter_get_the_one_asked_for(diameter):
    mask = discs(diameter)
    assert median_diameter(mask) == pytest.approx(diameter, rel=0.02)
    factor = ObjectSize(diameter=20.0).factor(mask)
    there = resampled_mask(mask, resampled_size(mask.shape, factor))
    assert median_diameter(there) == pytest.approx(20, rel=0.03)
    assert set(np.unique(there)) <= set(np.unique(mask))
    back = resampled_mask(there, mask.shape)
    assert ((back > 0) == (mask > 0)).mean() > 0.93


def test_cut_objects_count_only_where_there_are_no_others():
    mask = np.zeros((50, 50), np.int32)
    mask[20:30, 20:30], mask[:, :3] = 1, 2
    assert median_diameter(mask) == pytest.approx(2 * np.sqrt(100 / np.pi))
    mask[mask == 1] = 0
    assert median_diameter(mask) == pytest.approx(2 * np.sqrt(150 / np.pi))
    assert median_diameter(np.zeros((9, 9), np.int32)) is None
    assert ObjectSize(diameter=20.0).factor(np.zeros((9, 9), np.int32)) == 1
    assert ObjectSize().factor(mask) == 1


def test_the_random_factor_is_log_uniform():
    draws = np.log([ObjectSize(factors=(0.5, 2.0)).drawn(np.random.default_rng(i)) for i in range(800)])
    assert np.abs(draws).max() <= np.log(2)
    assert abs(draws.mean()) < 4 * np.log(2) / np.sqrt(3 * 800)
    assert abs(draws.std() / (np.log(2) / np.sqrt(3)) - 1) < 0.1


def test_sizes_without_sense_are_refused():
    for wrong in ({"diameter": 0.0}, {"factors": (0.0, 1.0)}, {"factors": (2.0, 1.0)}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            ObjectSize(**wrong)
    with pytest.raises(DataError, match="factor=0"):
        resampled_size((4, 4), 0.0)
