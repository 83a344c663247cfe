"""Denoising: mean and spread of the samples, the mean light kept, and the command on files."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from exact_models import IMAGE, Gaussian, exact
from PIL import Image

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.pairing import Pairing
from jaxdiff.data.pairs import Denoising, Segmentation
from jaxdiff.tasks.denoise import denoise
from jaxdiff.tasks.estimate import Estimate, mean_bias
from jaxdiff.tasks.sampled import conditional_samples

KEY = jax.random.key(0)
OFFSET = 50.0
PAIRS = Denoising(offset=OFFSET, peak=500.0)
TWO = IMAGE.replace(channel_names=("DAPI", "GFP"))
SIZE = (13, 10)


def noisy(*shape, seed=0):
    return OFFSET + np.random.default_rng(seed).gamma(4.0, 25.0, shape).astype(np.float32)


@pytest.fixture(scope="module")
def biased():
    """Two channels, 1.3 and 0.8 times as bright as they should be; samples spread by 3 grey levels."""
    gain = np.array([1.3, 0.8])
    shift = (gain - 1) * (100 - OFFSET) / 20  # gain on the light above the offset, in units of 20 around 100
    return exact(Gaussian(gain, shift[None], 0.15), PAIRS, info=TWO)


def test_mean_and_spread_are_those_of_the_samples(biased):
    image = noisy(*SIZE, 2)
    result = denoise(KEY, biased, image, samples=8, calls=4, correct=False)
    draws = conditional_samples(KEY, biased, image, 8, calls=4)
    np.testing.assert_array_equal(result.samples, draws)
    np.testing.assert_allclose(result.image, draws.mean(0), rtol=1e-5)
    np.testing.assert_allclose(result.std, draws.std(0, ddof=1), rtol=1e-3, atol=1e-4)
    assert result.image.shape == result.std.shape == image.shape
    assert result.std.min() > 0
    one = Estimate.of(draws[:1])
    np.testing.assert_array_equal(one.image, draws[0])
    np.testing.assert_array_equal(one.std, np.nan)


def test_the_mean_light_is_kept_channel_by_channel(biased):
    image = noisy(*SIZE, 2)
    result = denoise(KEY, biased, image, samples=8, calls=4)
    raw = denoise(KEY, biased, image, samples=8, calls=4, correct=False)
    # The samples' own spread, 3 levels over 8 x 130 pixels, on a light of about 100.
    np.testing.assert_allclose(result.bias, [0.3, -0.2], atol=4.5 * 3 / np.sqrt(8 * 130) / 100)
    np.testing.assert_array_equal(result.bias, raw.bias)
    np.testing.assert_allclose(
        result.image.mean((0, 1), dtype=np.float64), image.mean((0, 1), dtype=np.float64), rtol=1e-6
    )
    np.testing.assert_allclose(result.samples - OFFSET, (raw.samples - OFFSET) / (1 + raw.bias), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(result.std, raw.std / (1 + raw.bias), rtol=1e-3, atol=1e-4)


def test_images_without_light_are_not_divided_by_it(biased):
    rng = np.random.default_rng(0)
    dark = OFFSET + rng.normal(0, 5, (*SIZE, 2)).astype(np.float32)
    dark[..., 0] = OFFSET
    with pytest.warns(
        UserWarning, match=r"mean light 0 ± 0, .* above the offset of 50: too little to measure the bias"
    ):
        result = denoise(KEY, biased, dark, samples=8, calls=4)
    assert np.isnan(result.bias).all()
    raw = denoise(KEY, biased, dark, samples=8, calls=4, correct=False)
    np.testing.assert_array_equal(result.image, raw.image)
    assert np.isfinite(result.image).all()


def test_bias_is_measured_only_where_there_is_light():
    rng = np.random.default_rng(1)
    light = rng.normal([0.0, 2.0, 2.0], 1.0, (40, 40, 3))  # of a standard error of 1/40
    draws = np.stack([np.stack([light[..., 0] + 5, light[..., 1] * 1.5, -light[..., 2]], axis=-1)] * 3)
    np.testing.assert_allclose(mean_bias(light, draws), [np.nan, 0.5, np.nan], atol=1e-12)


def test_pairs_without_an_offset_are_not_corrected(biased):
    unknown = dataclasses.replace(biased, pairing=Pairing(Denoising(), biased.inputs))
    image = noisy(*SIZE, 2)
    result = denoise(KEY, unknown, image, samples=8, calls=4)
    assert result.bias is None
    np.testing.assert_array_equal(result.samples, conditional_samples(KEY, unknown, image, 8, calls=4))


def test_a_model_for_something_else_is_refused():
    with pytest.raises(ValueError, match="trained to segment; expected one to denoise"):
        denoise(KEY, exact(Gaussian(), Segmentation()), noisy(*SIZE))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to stand in, with images, and `--run any`: a model that halves the light above level 100."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    model = exact(HALF, Denoising(offset=0.0, peak=500.0))
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: model)
    bright = np.random.default_rng(2).integers(200, 600, (*SIZE, 1)).astype(np.uint16)
    write_image("in/bright.ome.tif", bright, IMAGE)
    dark = np.zeros((*SIZE, 1), np.uint16)
    dark[0, 0] = 1  # with none it would be blank
    write_image("in/dark.ome.tif", dark, IMAGE)
    return tmp_path


HALF = Gaussian(0.5, -4.0)
"""100 + ½ (y − 100) − 80: below 0 where y is 0."""


def command(*args):
    fixed = ["denoise", "--input", "in", "--run", ".", "--samples", "2", "--calls", "2"]
    return script.run(COMMANDS["sample"], [*fixed, *args], "sample.py")


def test_a_folder_keeps_names_axes_and_dtype(desk, capsys):
    assert command("--out", "out", "--no-correct", "--keep-samples") == 0
    wanted = {f"{n}{s}" for n in ("bright", "dark") for s in
              (".ome.tif", "_std.ome.tif", "_overlay.png", "_sample0.ome.tif", "_sample1.ome.tif")}  # fmt: skip
    assert {p.name for p in (desk / "out").iterdir()} == wanted | {"records", "summary.json"}
    image, info = read_image(desk / "in" / "bright.ome.tif")
    result, kept = read_image(desk / "out" / "bright.ome.tif")
    assert kept == info
    np.testing.assert_array_equal(result, np.rint(20 + 0.5 * (image.astype(np.float32) - 100)))
    std, of_std = read_image(desk / "out" / "bright_std.ome.tif")
    assert of_std == info.replace(dtype="float32")
    np.testing.assert_allclose(std, 0, atol=1e-3)
    with Image.open(desk / "out" / "bright_overlay.png") as picture:
        assert picture.size[0] > picture.size[1]  # noisy and clean, side by side

    told = {r["name"]: r for r in json.loads((desk / "out" / "summary.json").read_text())["files"]}
    assert told["bright"]["numbers"]["saturated_values"] == 0
    # -30 is no uint16: it became 0, in the result and in both samples, and that is said.
    assert told["dark"]["numbers"]["saturated_values"] == 3 * 130
    assert not read_image(desk / "out" / "dark.ome.tif")[0].any()
    assert "dark: values beyond the range of uint16 became its end" in capsys.readouterr().err


def test_float32_keeps_what_integers_do_not(desk, capsys):
    assert command("--out", "out", "--no-correct", "--dtype", "float32") == 0
    result, info = read_image(desk / "out" / "dark.ome.tif")
    assert info == IMAGE.replace(dtype="float32")
    np.testing.assert_allclose(np.sort(result.ravel()), [*[-30] * 129, -29.5], rtol=1e-5)
    assert "became its end" not in capsys.readouterr().err


def test_the_light_is_kept_on_disk(desk):
    assert command("--out", "out", "--dtype", "float32") == 0
    image, result = (read_image(desk / folder / "bright.ome.tif")[0] for folder in ("in", "out"))
    assert result.mean(dtype=np.float64) == pytest.approx(image.mean(), rel=1e-6)
    told = {r["name"]: r for r in json.loads((desk / "out" / "summary.json").read_text())["files"]}
    before = (20 + 0.5 * (image.mean() - 100)) / image.mean() - 1
    assert told["bright"]["numbers"]["bias_before_correction"] == pytest.approx(before, rel=1e-4)
    assert told["dark"]["numbers"]["bias_before_correction"] == "not measurable"


def test_samples_without_light_beside_the_image_are_not_divided_by(biased):
    """The ratio of 1e32 to 100 rounds to none at all, and light over it is no number."""
    image = np.random.default_rng(0).normal(1e32, 1e30, (*SIZE, 2)).astype(np.float32)
    light = image.astype(np.float64) - OFFSET
    assert np.isnan(mean_bias(light, np.full((2, *SIZE, 2), 100.0))).all()
