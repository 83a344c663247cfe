import numpy as np
import pytest
from PIL import Image

from jaxdiff.data.shown.picture import GAP, GAP_GREY, NOT_FINITE, sheet


def test_every_image_is_where_it_belongs(tmp_path):
    images = np.arange(5, dtype=np.uint16)[:, None, None, None] * np.ones((1, 6, 8, 1), np.uint16) * 1000
    picture = np.asarray(Image.open(sheet(images, tmp_path / "new" / "sheet.png", columns=3, low=0, high=4000)))
    assert picture.shape == (2 * (6 + GAP) + GAP, 3 * (8 + GAP) + GAP, 3)
    for i in range(5):
        top, left = GAP + i // 3 * (6 + GAP), GAP + i % 3 * (8 + GAP)
        assert (picture[top : top + 6, left : left + 8] == round(255 * i / 4)).all()
    assert (picture[GAP + 6 + GAP :, 2 * (8 + GAP) + GAP :] == GAP_GREY).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_colours_depth_and_range(tmp_path):
    def first(images, **options):
        return tuple(np.asarray(Image.open(sheet(images, tmp_path / "s.png", **options)))[GAP, GAP])

    one = np.ones((1, 4, 4, 1), np.float32)
    assert first(np.concatenate([one, 0 * one], -1), low=0, high=1) == (0, 255, 0)
    assert first(np.concatenate([0 * one, one], -1), low=0, high=1) == (255, 0, 255)
    assert first(np.concatenate([one, 0 * one, one / 2], -1), low=0, high=1) == (255, 0, 128)
    assert first(np.concatenate([one / 5, one, one, one], -1), low=0, high=1) == (51, 51, 51)
    assert first(np.concatenate([one, 5 * one], -1), low=[0, 0], high=[1, 10]) == (128, 255, 128)
    assert first(one * np.nan) == NOT_FINITE
    volume = np.zeros((1, 3, 4, 4, 1), np.float32)
    volume[:, 1] = 1
    assert first(volume, low=0, high=1) == (255, 255, 255)
    assert first(one) == (255, 255, 255) or first(one) == (0, 0, 0)


def test_wrong_shapes_are_refused(tmp_path):
    for shape in ((4, 4), (0, 4, 4, 1), (1, 1, 1, 1, 1, 1)):
        with pytest.raises(ValueError, match="expected"):
            sheet(np.zeros(shape), tmp_path / "s.png")
