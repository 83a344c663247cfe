"""Denoising without knowing the camera: 8-bit, 12-bit, 16-bit and float files of one scene give one result."""

import jax
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, exact

from jaxdiff.data.dataset import finish
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Denoising, Parallel, SuperResolution, paired
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.sources.source import Memory
from jaxdiff.tasks.denoise import denoise

KEY = jax.random.key(0)


def scene(seed=0, shape=(70, 80)):
    """Noisy light from 0 to about 1."""
    rng, grid = np.random.default_rng(seed), np.indices(shape)
    light = sum(np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / 60) for y, x in rng.uniform(0, 70, (9, 2)))
    return np.clip(0.1 + 0.6 * light + rng.normal(0, 0.02, shape), 0, 1)


@pytest.fixture(scope="module")
def model():
    """Shrinks every pixel by a tenth towards a level of its scale, so that the light has to be corrected."""
    pairs = Denoising(per_image=PerImage().fit([scene()[..., None]]))
    return exact(
        Gaussian(gain=0.9, shift=0.05, std=0.1), pairs, window=(32, 32), units=(0.3, 0.4), input_units=(0.3, 0.4)
    )


def result(model, image, **options):
    return denoise(KEY, model, image, samples=2, calls=2, **options)


@pytest.mark.parametrize(("gain", "offset"), [(4095.0, 130.0), (1e-3, -0.02)])
def test_results_follow_gain_and_offset(model, gain, offset):
    first, second = result(model, scene()), result(model, gain * scene() + offset)
    for name in ("image", "samples"):
        np.testing.assert_allclose((getattr(second, name) - offset) / gain, getattr(first, name), atol=1e-4)
    np.testing.assert_allclose(second.std / gain, first.std, atol=1e-4)
    np.testing.assert_allclose(second.bias, first.bias, atol=1e-4)
    # The mean light is that of the noisy image, whatever its offset.
    assert second.image.mean() == pytest.approx(gain * scene().mean() + offset, rel=1e-4)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 4095), ("uint16", 65535), ("float32", 1)])
def test_files_of_any_type_give_one_result_up_to_their_rounding(model, tmp_path, dtype, top):
    values = scene() * top
    tifffile.imwrite(tmp_path / "a.tif", (np.rint(values) if top > 1 else values).astype(dtype))
    image, info = read_image(tmp_path / "a.tif")
    assert info.dtype == dtype
    expected, got = result(model, scene()), result(model, image)
    assert np.abs(got.image / top - expected.image).max() < 1e-4 + 1.5 / top * (top > 1)


def test_what_is_not_corrected_is_off(model):
    assert result(model, scene(), correct=False).bias == pytest.approx(result(model, scene()).bias)
    assert abs(result(model, scene(), correct=False).image.mean() / scene().mean() - 1) > 0.005


def test_training_knows_the_noisy_image_alone():
    images = [1000 * scene(seed)[..., None] for seed in range(6)]
    pairs = Denoising(photons=(30.0, 30.0), per_image=PerImage())
    both = []
    for gain, offset in ((1.0, 0.0), (0.01, 7.0)):
        source = Memory([gain * image + offset for image in images], DataInfo(dtype="float64"))
        data = paired(finish(source, source, "asinh"), pairs)
        both.append([data.pairing.pairs.draw(data.train[i], np.random.default_rng(i)) for i in range(6)])
    for one, other in zip(*both):
        for name in ("image", "input"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-4)
    # The 1st and the 99.8th percentile of the noisy field are 0 and 1 of both.
    low, high = np.percentile(both[0][0]["input"], (1, 99.8))
    assert abs(low) < 0.05
    assert abs(high - 1) < 0.05
    assert np.percentile(both[0][0]["image"], 1) > 0.05


def test_noise_is_that_of_so_many_photons_at_the_images_own_peak():
    image = np.full((200, 200, 1), 100.0)
    image[:100] = 1100.0
    noisy = Denoising(per_image=PerImage(floor=0.0), read_noise=2.0).record(np.random.default_rng(0), image, 25.0)
    assert abs(noisy[:100].mean() - 1100) < 4 * 40 * np.sqrt(29) / 140
    assert abs(noisy[:100].var() / (40**2 * 29) - 1) < 0.05  # 1000 levels are 25 photons
    assert abs(noisy[100:].var() / (40**2 * 4) - 1) < 0.05


def test_images_are_resized_at_random_for_denoising():
    source = Memory([1000 * scene(seed, (100, 100))[..., None] for seed in range(3)], IMAGE)
    pairs = Denoising(per_image=PerImage(), size=ObjectSize(factors=(0.7, 1.4)))
    data = paired(finish(source, source, "asinh"), pairs)
    patches = [data.pairing.pairs.cut(data.train[0], (32, 32), np.random.default_rng(i)) for i in range(8)]
    assert {patch["image"].shape for patch in patches} == {(32, 32, 1)}
    assert data.pairing.inputs.info.pixel_size == IMAGE.pixel_size


def test_a_blank_image_comes_back_and_contradictions_are_refused(model):
    with pytest.warns(UserWarning, match="^blank: every pixel has the value 7"):
        assert (result(model, np.full((40, 40), 7, np.uint8)).image == 7).all()
    with pytest.raises(DataError, match="with per_image; expected neither"):
        Denoising(per_image=PerImage(), offset=100.0)


def drawn(pairs, gain, offset):
    """Pairs of whole fields whose images and inputs a camera of this gain and offset recorded."""
    images = [1000 * scene(seed)[..., None] for seed in range(4)]
    inputs = [image[::2, ::2] for image in images]
    source = Memory(
        [gain * image + offset for image in images],
        DataInfo(dtype="float64"),
        inputs=[gain * image + offset for image in inputs],
    )
    data = paired(finish(source, source, "asinh", input_info=DataInfo(dtype="float64")), pairs)
    return [data.pairing.pairs.draw(data.train[i], np.random.default_rng(i)) for i in range(4)]


@pytest.mark.parametrize(
    "pairs",
    [SuperResolution(photons=(50.0, 50.0), per_image=PerImage()), Parallel(task="super-resolve", per_image=PerImage())],
    ids=lambda pairs: type(pairs).__name__,
)
def test_sharp_images_are_on_the_scale_of_their_coarse_ones(pairs):
    for one, other in zip(drawn(pairs, 1.0, 0.0), drawn(pairs, 0.01, 7.0)):
        for name in ("image", "input"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-4)
        assert one["image"].shape[0] == 2 * one["input"].shape[0]
        assert abs(np.percentile(one["input"], 99.8) - 1) < 0.1
        assert abs(one["image"].mean() - one["input"].mean()) < 0.02
    assert pairs.on_input_scale


def test_another_modality_keeps_its_own_grey_levels():
    pairs = Parallel(task="translate", per_image=PerImage())
    plain, other = drawn(pairs, 1.0, 0.0)[0], drawn(pairs, 0.01, 7.0)[0]
    np.testing.assert_allclose(plain["input"], other["input"], atol=1e-4)
    np.testing.assert_allclose(other["image"], 0.01 * plain["image"] + 7)
    assert not pairs.on_input_scale
