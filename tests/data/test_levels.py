"""The grey levels of training, against percentiles counted by hand, and what of an image is outside them."""

import numpy as np
import pytest

from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.levels import Levels, blank, levels_of
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairs import Parallel, with_levels

UNITS = Normaliser("linear", (0.0,), (1.0,), (200.0,), (100.0,))
TRAINED = Levels(((90.0, 110.0),), ((150.0, 250.0),), ((400.0, 1000.0),))


def ramp(low, high, n=1001):
    """An image whose p-th percentile is low + p % of (high - low)."""
    return np.linspace(low, high, n)[:, None, None]


def test_levels_of_an_image_and_its_parts():
    image = np.concatenate([ramp(0, 1000), ramp(5, 5)], axis=-1)
    got = levels_of(image, (1001, 1), np.random.default_rng(0))
    np.testing.assert_allclose(got, [[[10, 5], [500, 5], [999, 5]]])
    parts = levels_of(image, (11, 1), np.random.default_rng(0))
    assert parts.shape == (5, 3, 2)
    np.testing.assert_allclose(parts[1:, 2, 0] - parts[1:, 0, 0], 9.89)  # 98.9 % of a slope of 10
    assert len({float(v) for v in parts[1:, 1, 0]}) == 4, "four places"
    together = Levels.over([got, levels_of(image + 100, (1001, 1), np.random.default_rng(0))])
    assert together.dark == ((10.0, 110.0), (5.0, 105.0))
    assert together.bright[0] == pytest.approx((999.0, 1099.0))
    assert Levels.from_json(together.to_json()) == together


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (ramp(95, 420), []),
        (ramp(70, 420), []),  # dark 73.5, within a quarter of a standard deviation
        (ramp(50, 420), ["1st percentile 53.7 (training: 90 to 110)"]),
        (ramp(95, 1000), ["median 547.5 (training: 150 to 250)"]),
        (ramp(0.0, 1.0), ["1st percentile 0.01", "median 0.5", "99.9th percentile 0.999 (training: 400 to 1000)"]),
        (ramp(-2.0, 2.0), ["1st percentile -1.96", "median 0 ", "99.9th"]),
        (1100 - ramp(95, 1100), ["1st percentile 10.05", "median 502.5"]),
        (ramp(95, 250).astype(np.uint8), ["uint8 pixels, which end at 255 (training: up to 1000)"]),
        (ramp(95, 420).astype(np.int16), []),
    ],
)
def test_what_is_outside_is_said_with_numbers(image, words):
    got = TRAINED.outside(image, UNITS, ["a"])
    if image.dtype == np.uint8:
        got = got[-1:]
    assert len(got) == len(words)
    for text, word in zip(got, words):
        assert word in text


def test_noise_and_blur_are_no_other_scale():
    recording = ramp(-200, 600)  # darker where dark
    assert TRAINED.outside(recording, UNITS, ["a"], noisy=True) == []
    assert len(TRAINED.outside(recording, UNITS, ["a"])) == 1
    assert len(TRAINED.outside(ramp(0, 1), UNITS, ["a"], noisy=True)) == 2
    holes = np.where(np.arange(1001)[:, None, None] % 3 == 0, np.nan, ramp(95, 420))
    assert TRAINED.outside(holes, UNITS, ["a"], noisy=True) == []


def test_a_normaliser_tells_of_its_images_roughly():
    levels = Levels.of_normaliser(UNITS)
    assert not levels.known
    assert levels.middle == ((50.0, 450.0),)
    assert levels.outside(ramp(95, 300), UNITS, ["a"]) == []
    assert levels.outside(ramp(95, 250).astype(np.uint8), UNITS, ["a"]) == []
    assert len(levels.outside(ramp(0, 1), UNITS, ["a"])) == 2
    two = Levels.of_normaliser(Normaliser("asinh", (1.0, 2.0), (3.0, 4.0), (0.1, 0.2), (1.0, 2.0)))
    assert two.channels == 2
    assert "of b " in two.outside(np.concatenate([ramp(0, 9), ramp(-9e5, 0)], -1), Normaliser(
        "asinh", (1.0, 2.0), (3.0, 4.0), (0.1, 0.2), (1.0, 2.0)), ["a", "b"])[0]  # fmt: skip


def test_blank_channel_by_channel():
    assert blank(np.full((3, 4, 1), 7, np.uint8))
    assert blank(np.full((3, 4, 3), [255, 9, 255], np.uint8))
    assert not blank(np.arange(12).reshape(3, 4, 1))
    assert blank(np.where(np.eye(4)[..., None] > 0, np.nan, 5.0))


def test_levels_are_refused_where_they_make_no_sense():
    with pytest.raises(DataError, match="middle"):
        Levels(((1.0, 2.0),), ((3.0, 2.0),), ((1.0, 2.0),))
    with pytest.raises(ValueError, match="without 'bright', 'middle'"):
        Levels.from_json({"dark": [[1, 2]]})


def test_a_run_keeps_the_levels_of_its_training_part_alone(images, tmp_path):
    folder = images(num=4, shape=(24, 24), high=1000)
    inputs = images("inputs", num=4, shape=(12, 24), high=50, seed=1)
    data = open_data(Folder(folder, inputs=inputs, validation=0.25), (8, 8), 0, pairs=Parallel("super-resolve"))
    data = with_levels(data, (8, 8))
    assert data.levels is not None
    assert data.pairing is not None
    assert data.pairing.inputs is not None
    assert data.pairing.inputs.levels is not None
    for name, levels in (("image", data.levels), ("input", data.pairing.inputs.levels)):
        medians = [np.median(data.train[i][name]) for i in range(3)]
        (least, most), (_, brightest) = levels.middle[0], levels.bright[0]
        assert least <= min(medians) <= max(medians) <= most
        assert brightest <= max(data.train[i][name].max() for i in range(3))
    alone = with_levels(open_data(Folder(folder, validation=0.0), (24, 24), 0), (24, 24)).levels
    assert alone is not None
    found = [
        np.percentile(np.asarray(open_data(Folder(folder, validation=0.0), (8, 8), 0).train[i]["image"]), (1, 99.9))
        for i in range(4)
    ]
    assert alone.dark[0] == pytest.approx((min(f[0] for f in found), max(f[0] for f in found)))
    assert alone.bright[0] == pytest.approx((min(f[1] for f in found), max(f[1] for f in found)))
