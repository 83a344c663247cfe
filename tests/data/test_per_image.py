"""The grey scale of an image: it follows gain and offset exactly, and keeps images without objects dark."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.per_image import DIFFERENCES, MOST, SIDE, Blocks, PerImage, noise_of
from jaxdiff.physics.noise_estimate import robust_scale


def field(shape=(90, 110), objects=12, noise=3.0, seed=0):
    """Discs of light on a dark level of 100, with noise."""
    rng, grid = np.random.default_rng(seed), np.indices(shape)
    light = np.zeros(shape)
    for y, x, r, level in rng.uniform((0, 0, 5, 100), (*shape, 12, 900), (objects, 4)):
        light = np.maximum(light, level * ((grid[0] - y) ** 2 + (grid[1] - x) ** 2 < r**2))
    return (100 + light + rng.normal(0, noise, shape))[..., None]


@pytest.mark.parametrize(("gain", "offset"), [(257.0, 0.0), (1e-4, 0.0), (0.3, -50.0), (16.0, 1000.0)])
def test_gain_and_offset_leave_no_trace(gain, offset):
    image = field()
    u, other = (PerImage().scale(x).forward(x) for x in (image, gain * image + offset))
    np.testing.assert_allclose(other, u, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_one_scene_in_any_type_is_one_image_up_to_its_rounding(dtype):
    scene = field() / 1100  # 0 to 1
    exact = PerImage().scale(scene).forward(scene)
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1.0
    stored = (np.rint(scene * top) if top > 1 else scene).astype(dtype)
    u = PerImage().scale(stored).forward(stored)
    step = 1.0 if top == 1 else 1 / top / float(PerImage().scale(scene).span[0])
    assert np.abs(u - exact).max() < (1e-5 if top == 1 else 3 * step)


def test_percentiles_become_0_and_1_in_each_channel():
    image = np.concatenate([field(), 50 * field(seed=1) - 7], axis=-1)
    u = PerImage(low=5.0, high=99.0, floor=0.0).scale(image).forward(image)
    np.testing.assert_allclose(np.percentile(u, 5, axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(np.percentile(u, 99, axis=(0, 1)), 1, atol=1e-4)
    scale = PerImage().scale(image)
    np.testing.assert_allclose(scale.inverse(scale.forward(image)), image, rtol=1e-5)


def test_an_image_of_noise_alone_stays_dark():
    image = np.random.default_rng(0).normal(500, 4, (100, 100, 1))
    u = PerImage(floor=10.0).scale(image).forward(image)
    assert abs(u.std() * 10 - 1) < 0.05
    dim = np.rint(image / 40)  # rounding leaves two or three levels
    assert PerImage(floor=10.0).scale(dim).forward(dim).max() < 1


@pytest.mark.parametrize("sigma", [0.5, 4.0, 300.0])
def test_noise_is_that_of_the_camera_and_not_of_the_objects(sigma):
    image = field((200, 200), objects=15, noise=sigma)[..., 0]
    assert abs(noise_of([image]) / sigma - 1) < 0.25  # outlines are some of it
    assert noise_of([np.rint(image / 1000)]) >= 1 / np.sqrt(12) * (len(np.unique(np.rint(image / 1000))) > 1)


@pytest.mark.parametrize("level", [0, 65535])
@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int32", "float32"])
def test_a_broken_pixel_leaves_no_trace(dtype, level):
    image = np.rint(field((200, 200), objects=15) / 10 + 20).astype(dtype)
    broken = image.copy()
    broken[60, 60] = level
    whole, scale = PerImage().scale(image), PerImage().scale(broken)
    np.testing.assert_allclose((scale.offset, scale.span), (whole.offset, whole.span), rtol=0.02)


def test_the_noise_of_large_images_is_of_differences_all_over_the_parts():
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, 3, shape) for shape in ((300, 200), (2, 100), (3, 90, 80))]
    kernel = np.outer([1, -2, 1], [1, -2, 1]) / 6
    every = np.concatenate(
        [ndimage.correlate(one, kernel)[1:-1, 1:-1].ravel() for one in (parts[0], *parts[2])]  # two rows have none
    )
    assert noise_of(parts) == pytest.approx(robust_scale(every[:: every.size // DIFFERENCES]), rel=1e-9)


def test_a_blank_channel_has_the_numbers_of_the_training_images():
    images = [field(seed=i) for i in range(5)]
    fitted = PerImage().fit(images)
    scales = [PerImage().scale(image) for image in images]
    assert fitted.offset[0] == pytest.approx(np.median([s.offset[0] for s in scales]), rel=0.05)
    assert fitted.span[0] == pytest.approx(np.median([s.span[0] for s in scales]), rel=0.2)
    blank = np.full((30, 30, 1), 7, np.uint8)
    scale = fitted.scale(blank)
    assert (scale.offset[0], scale.span[0]) == (fitted.offset[0], fitted.span[0])
    with pytest.raises(DataError, match="a blank image; expected one that varies"):
        PerImage().scale(blank)
    with pytest.raises(DataError, match="one value in every pixel of channel 0"):
        PerImage().fit([blank])


@pytest.mark.parametrize("shape", [(40, 50), (300, 420), (70, 64), (8, 100, 130)])
def test_blocks_are_spread_parts_of_the_field(shape):
    image = np.random.default_rng(0).integers(0, 4000, (*shape, 2))
    blocks = Blocks.of(image)
    assert 1 <= len(blocks.values) <= MOST
    for values, start in zip(blocks.values, blocks.starts):
        place = tuple(slice(s, s + n) for s, n in zip(start, values.shape))
        np.testing.assert_array_equal(values, image[place])
    if max(shape) <= SIDE:
        assert blocks.values[0].shape == image.shape
    assert blocks.nbytes == sum(values.nbytes for values in blocks.values)
    whole, parts = PerImage().scale(image), PerImage().scale_of(blocks.values)
    np.testing.assert_allclose(parts.span, whole.span, rtol=0.05)


def test_numbers_without_sense_are_refused():
    with pytest.raises(DataError, match="low=99, high=1"):
        PerImage(low=99, high=1)
    with pytest.raises(DataError, match="floor=-1"):
        PerImage(floor=-1)
    with pytest.raises(DataError, match="span="):
        PerImage(offset=(0.0,), span=(0.0,))
    for numbers in ({"span": (1.0,)}, {"offset": (np.nan,), "span": (1.0,)}, {"offset": (1.0, 2.0), "span": (1.0,)}):
        with pytest.raises(DataError, match="span="):
            PerImage(**numbers)
