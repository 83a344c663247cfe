import json

import numpy as np
import pytest

from jaxdiff.data import normalise
from jaxdiff.data.dataset import evenly
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.source import Memory
from jaxdiff.physics.camera import Camera

MAPS = ("linear", "asinh", "anscombe")


def fields(rng, num=6, channels=2):
    """Dark, noisy background with bright spots; one channel ten times the other."""
    sizes = [(20 + 3 * i, 30, channels) for i in range(num)]
    scale = 10.0 ** np.arange(channels)
    return [np.rint((100 + rng.gamma(0.3, 200, size)) * scale).astype(np.uint16) for size in sizes]


@pytest.mark.parametrize("map", MAPS)
def test_training_pixels_get_mean_0_and_std_1(map):
    images = fields(np.random.default_rng(0))
    normaliser = Normaliser.fit(images, map)
    z = np.concatenate([normaliser.forward(image).reshape(-1, 2) for image in images]).astype(np.float64)
    assert z.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert z.std(axis=0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("map", MAPS)
def test_every_16_bit_value_comes_back(map):
    normaliser = Normaliser.fit(fields(np.random.default_rng(1), channels=1), map)
    values = np.arange(65536, dtype=np.uint16)[:, None]
    z = normaliser.forward(values)
    assert z.dtype == np.float32
    assert (np.diff(z[:, 0]) > 0).all()
    assert (np.rint(normaliser.inverse(z)) == values).all()
    negative = np.linspace(-5000, 0, 100)[:, None]
    assert normaliser.inverse(normaliser.forward(negative)) == pytest.approx(negative, rel=1e-4, abs=1e-2)


def test_json_keeps_every_bit():
    normaliser = Normaliser.fit(fields(np.random.default_rng(2)))
    again = Normaliser.from_json(json.loads(json.dumps(normaliser.to_json())))
    assert again == normaliser
    with pytest.raises(DataError, match="expected"):
        Normaliser.from_json({**normaliser.to_json(), "extra": 1})


def test_anscombe_makes_poisson_noise_of_unit_size():
    rng = np.random.default_rng(3)
    counts = [rng.poisson(mean, (100, 100, 1)) for mean in (20, 100, 500)]
    normaliser = Normaliser.fit(counts, "anscombe")
    for image in counts:  # the map alone: times its std
        assert (normaliser.forward(image) * normaliser.std[0]).std() == pytest.approx(1, abs=0.05)


def test_anscombe_of_a_camera_is_its_generalised_transform():
    camera = Camera(gain=12.5, offset=130.0, read_noise=2.0)
    images = [130 + 12.5 * np.random.default_rng(0).poisson(20.0, (16, 16, 1))]
    normaliser = Normaliser.fit(images, "anscombe", camera)
    stabilised = normaliser.forward(images[0]) * normaliser.std + normaliser.mean
    np.testing.assert_allclose(stabilised, camera.generalised_anscombe(images[0]), rtol=1e-6)
    with pytest.raises(DataError, match="a camera for the map asinh"):
        Normaliser.fit(images, "asinh", camera)


def test_asinh_scale_is_that_of_the_background():
    rng = np.random.default_rng(4)
    image = rng.normal(1000, 20, (400, 400, 1))
    image[:100] += 30000
    normaliser = Normaliser.fit([image])
    assert normaliser.offset[0] == pytest.approx(1000, abs=25)
    assert 60 < normaliser.scale[0] < 120
    sparse = np.zeros((100, 100, 1))
    sparse[::10, ::10] = 500.0  # more than half of the pixels are equal
    assert Normaliser.fit([sparse]).scale[0] == pytest.approx(5.0)


def test_sums_survive_a_large_offset():
    images = [1e9 + np.random.default_rng(i).normal(0, 1, (64, 64, 1)) for i in range(4)]
    assert Normaliser.fit(images, "linear").std[0] == pytest.approx(1, abs=0.02)


def test_large_images_are_read_in_parts(monkeypatch):
    images = fields(np.random.default_rng(6))
    whole = Normaliser.fit(images)
    monkeypatch.setattr(normalise, "BLOCK", 77)
    parts = Normaliser.fit(images)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parts.std == pytest.approx(whole.std, rel=1e-12)


def test_bad_pixels_are_named():
    good = np.random.default_rng(5).normal(0, 1, (8, 8, 1))
    bad = good.copy()
    bad[0, 0] = np.nan
    with pytest.raises(DataError, match="image 1"):
        Normaliser.fit([good, bad])
    for map in MAPS:
        with pytest.raises(DataError, match="channel 1"):
            Normaliser.fit([np.concatenate([good, np.full_like(good, 7)], -1)], map)
    with pytest.raises(DataError, match="no images"):
        Normaliser.fit([])
    with pytest.raises(DataError, match="channels"):
        Normaliser.fit([good, np.concatenate([good, good], -1)], "linear")
    with pytest.raises(DataError, match="channels"):
        Normaliser.fit([good]).forward(np.zeros((8, 8, 2)))


def test_asinh_tames_the_long_tail_of_real_nuclei(bbbc039):
    images = [read_image(path)[0] for path in sorted((bbbc039 / "train" / "images").iterdir())]
    fitted = {map: Normaliser.fit(images, map) for map in ("linear", "asinh")}
    tail = {map: max(normaliser.forward(image).max() for image in images) for map, normaliser in fitted.items()}
    assert tail["linear"] > 15
    assert tail["asinh"] < 5


def test_a_large_set_fits_some_of_its_images_spread_evenly():
    images = np.arange(10.0)[:, None, None, None] * np.ones((1, 2, 2, 1))
    some = evenly(Memory(images, DataInfo(dtype="float32")), 4)
    assert [some[i]["image"].flat[0] for i in range(len(some))] == [0, 2, 5, 7]
    assert len(evenly(some, 9)) == 4
