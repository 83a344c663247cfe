"""The translation benchmark's parts with a known answer."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.tasks import smears, translation
from jaxdiff.data.errors import DataError


def test_a_colour_table_holds_the_mean_of_each_level_and_what_lies_between():
    green = np.array([[10, 10, 20]])
    red = np.array([[100, 120, 60]])
    image = np.stack([red, green, 2 * green], axis=-1).astype(np.uint8)
    table = translation.colour_table([image, image])
    np.testing.assert_allclose(table[[10, 20]], [[110, 10, 20], [60, 20, 40]])
    np.testing.assert_allclose(table[15], [85, 15, 30])
    np.testing.assert_allclose(table[[0, 255]], table[[10, 20]])


def test_the_given_green_does_not_count():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (20, 20, 3)).astype(np.uint8)
    image = truth.astype(np.float32)
    image[..., 0] += 2
    image[..., 2] -= 2
    plain = translation.scored(truth, image, 200.0)
    assert plain["psnr"] == pytest.approx(20 * np.log10(200 / 2))
    image[..., smears.GREEN] = 0
    assert translation.scored(truth, image, 200.0) == plain


def test_pairs_are_written_and_no_picture_is_in_two_parts(tmp_path):
    for part, number in (("train", 10), ("val", 2)):
        (tmp_path / part).mkdir()
        for i in range(number):
            pixels = np.full((8, 12, 3), (i, 100, 200), np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{part}{i}.jpg", quality=100, subsampling=0)
    parts = [{file.name for file in smears.names(tmp_path, split)} for split in ("fit", "dev", "val")]
    assert [len(part) for part in parts] == [8, 2, 2]
    assert len(set.union(*parts)) == 12
    smears.write(tmp_path, tmp_path / "out")
    name = sorted(parts[0])[0].removesuffix(".jpg")
    colour = np.asarray(Image.open(tmp_path / "out" / "fit" / "colour" / f"{name}.png"))
    assert colour.shape == (4, 6, 3)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "out" / "fit" / "green" / f"{name}.png")), colour[..., 1]
    )
    with pytest.raises(DataError, match="without pictures"):
        smears.names(tmp_path / "out", "val")
