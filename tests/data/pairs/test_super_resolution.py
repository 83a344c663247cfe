"""Pairs for super-resolution: the coarse recording is the physics of the sharp image, in place, scale and noise."""

import json

import numpy as np
import pytest

from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.dataset import finish
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.pairs import SuperResolution, paired
from jaxdiff.data.patches import random_patch
from jaxdiff.data.sources.source import Memory, Subset
from jaxdiff.physics.binning import area_binning
from jaxdiff.physics.blur import gaussian_blur
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe, read_pairing

KINDS = {
    "x2": ((38, 41), (16, 16), SuperResolution((2, 2), (1.0, 1.0))),
    "x4": ((70, 67), (16, 24), SuperResolution((4, 4), (2.0, 2.0))),
    "z": ((19, 24, 26), (8, 8, 8), SuperResolution((4, 1, 1), (2.0, 0.5, 0.5))),
    "z and across": ((18, 26, 24), (6, 8, 8), SuperResolution((3, 2, 2), (1.5, 1.0, 1.0))),
}
each = pytest.mark.parametrize(("shape", "patch", "kind"), KINDS.values(), ids=KINDS)


def spots(shape, num=5):
    """Spots of light above an offset of 100 grey levels."""
    rng = np.random.default_rng(0)
    light = (rng.random((num, *shape, 1)) > 0.9) * rng.gamma(4, 3000, (num, *shape, 1))
    pixels = np.stack([gaussian_blur(one, (1.0,) * len(shape)) for one in light]) + rng.normal(100, 2, light.shape)
    spacing = {"Z": 2.0, "Y": 0.25, "X": 0.25}
    axes = "ZYX"[-len(shape) :]
    info = DataInfo(axes=axes + "C", pixel_size={a: spacing[a] for a in axes}, unit="µm")
    source = Memory(pixels.clip(0, 65535).astype(np.uint16), info)
    return finish(Subset(source, range(num - 1)), Subset(source, [num - 1]), "asinh")


@each
def test_a_loader_gives_the_coarse_recording_of_each_patch(shape, patch, kind):
    data = paired(spots(shape), kind, patch=patch)
    inputs = data.pairing.inputs
    assert inputs.factor == kind.factor
    sizes = {a: s * f for (a, s), f in zip(data.info.pixel_size.items(), kind.factor)}
    assert inputs.info.pixel_size == sizes
    assert inputs.info.dtype == "float32"
    batch = next(Loader(data.train, data.normaliser, patch, 16, seed=1, pairing=data.pairing))
    assert batch["input"].shape == batch["image"].shape == (16, *patch, 1)
    for one in batch["input"]:  # spread to the image's pixels, one value over each larger one
        coarse = one[tuple(slice(None, None, f) for f in kind.factor)]
        np.testing.assert_array_equal(one, np.kron(coarse[..., 0], np.ones(kind.factor))[..., None])
    assert abs(batch["input"].mean()) < 0.5
    assert abs(batch["input"].std() - 1) < 0.5
    held = next(data.validation_batches(patch, 2, 2))
    assert held["input"].shape == (2, *patch, 1)


@each
def test_with_endless_light_the_input_is_the_blurred_and_binned_image(shape, patch, kind):
    bright = SuperResolution(kind.factor, kind.psf, (1e9, 1e9), read_noise=0.0, offset=0.0, peak=1e4)
    data = spots(shape)
    record = bright.prepare(data.train[0])
    rng = np.random.default_rng(0)
    whole = bright.draw(record, rng)
    blurred = gaussian_blur(data.train[0]["image"], kind.psf)
    np.testing.assert_allclose(whole["input"], area_binning(blurred, kind.factor), rtol=2e-3)
    # Image and input cover one field: rows that fill no larger pixel are in neither.
    assert whole["image"].shape[:-1] == tuple(n // f * f for n, f in zip(shape, kind.factor))
    cut = random_patch(record, patch, rng)
    part = bright.draw(cut, rng)
    assert part["image"] is cut["image"] or np.array_equal(part["image"], cut["image"])
    np.testing.assert_allclose(part["input"], area_binning(cut["blurred"], kind.factor), rtol=2e-3)


@pytest.mark.parametrize("factor", [(2, 2), (4, 4)])
def test_the_camera_counts_photons_in_larger_pixels(factor):
    """A flat field of half the peak: mean kept, variance (peak / photons)² (photons / 2 + read noise²)."""
    flat = np.full((1, 400, 400, 1), 1100, np.uint16)
    kind = SuperResolution(factor, (1.0, 1.0), (20, 20), read_noise=2.0, offset=100.0, peak=2000.0)
    drawn = kind.draw(kind.prepare(Memory(flat, DataInfo())[0]), np.random.default_rng(0))["input"].astype(np.float64)
    error = 4.5 / np.sqrt(drawn.size)
    assert abs(drawn.mean() - 1100) < error * np.sqrt(14) * 100
    assert abs(drawn.var() / (100**2 * 14) - 1) < error * np.sqrt(2 + 1 / 10)


def test_numbers_are_fitted_and_stored():
    data = paired(spots((38, 41)), SuperResolution())
    fitted = data.pairing.pairs
    pixels = np.concatenate([data.train[i]["image"].ravel() for i in range(len(data.train))])
    assert fitted.offset == pytest.approx(np.percentile(pixels, 1), rel=0.02)
    config = TrainConfig(name="x", steps=1, pairs=SuperResolution())
    stored = json.loads(json.dumps(describe(config, data.info, data.normaliser, data.pairing)))
    assert read_pairing(stored) == data.pairing
    assert TrainConfig.from_json(stored["config"]).pairs == SuperResolution()


def test_unusable_numbers_are_refused():
    for factor in ((1, 1), (2,), (2, 0), (2, 2.5)):
        with pytest.raises(DataError, match="got factor="):
            SuperResolution(factor, (1.0, 1.0))
    for psf in ((1.0,), (1.0, -1.0), (1.0, np.inf)):
        with pytest.raises(DataError, match="got psf="):
            SuperResolution((2, 2), psf)
    for factor, psf in (((2, 1), (1.0, 1.0)), ((2, 2), (1.0, 2.0))):
        with pytest.raises(DataError, match="equal numbers for y and x"):
            SuperResolution(factor, psf)
    with pytest.raises(DataError, match=r"photons=\(0, 1\)"):
        SuperResolution(photons=(0, 1))


def test_what_does_not_fit_the_images_is_refused(images):
    folder = images(shape=(40, 48))
    with pytest.raises(DataError, match=r"factor=\(4, 1, 1\) for images with axes YX"):
        open_data(Folder(path=folder), (16, 16), 0, pairs=SuperResolution((4, 1, 1), (0.0, 0.0, 0.0)))
    with pytest.raises(DataError, match=r"patch \(16, 18\) of pairs, .*patch \(16, 16\)|patch \(16, 20\)"):
        open_data(Folder(path=folder), (16, 18), 0, pairs=SuperResolution((4, 4)))
