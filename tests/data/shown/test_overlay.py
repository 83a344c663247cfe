import numpy as np
import pytest
from PIL import Image

from jaxdiff.data.errors import DataError
from jaxdiff.data.shown.overlay import LEAST, LEGEND, MAGMA, MOST, colours, outlines, overlay
from jaxdiff.data.shown.picture import GAP, NOT_FINITE


@pytest.fixture
def draw(tmp_path):
    """The picture without its frame."""

    def draw(*arguments):
        written = overlay(*arguments[:2], tmp_path / "new" / "a.png", *arguments[2:])
        assert [p.name for p in written.parent.iterdir()] == ["a.png"]
        return np.asarray(Image.open(written))[GAP:-GAP, GAP:-GAP]

    return draw


def test_outlines_lie_inside_objects_and_nowhere_else():
    mask = np.zeros((9, 9), int)
    mask[2:7, 1:5], mask[2:7, 5:8], mask[8, 0] = 1, 2, 3
    wanted = np.zeros((9, 9), bool)
    wanted[2:7, 1:8] = True
    wanted[3:6, 2:4] = wanted[3:6, 6] = False
    wanted[8, 0] = True
    np.testing.assert_array_equal(outlines(mask), wanted)
    assert not outlines(np.ones((5, 5), int)).any()  # the image's edge is no outline
    np.testing.assert_array_equal(outlines(mask.astype(np.uint8), 2), mask > 0)


def test_the_outline_has_its_label_s_colour_and_the_rest_is_the_image(draw):
    mask = np.zeros((LEAST, LEAST), int)
    mask[100:200, 100:200], mask[300:400, 100:200] = 4, 9
    ramp = np.arange(LEAST, dtype=np.uint16)[:, None, None].repeat(LEAST, 1) + 1000
    picture = draw(ramp, mask)
    edge = outlines(mask)
    np.testing.assert_array_equal(picture[edge], colours(mask[edge]))
    grey = picture[~edge]
    assert (grey == grey[:, :1]).all()
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, -1].tolist() == [255, 255, 255]


def test_colours_are_those_of_the_label_alone_and_differ():
    many = colours(np.arange(1, 201))
    assert len(np.unique(many, axis=0)) > 190
    assert (np.abs(np.diff(many.astype(int), axis=0)).sum(-1) > 100).all()
    np.testing.assert_array_equal(colours([[7, 3], [3, 150]]), many[[[6, 2], [2, 149]]])


def test_small_images_are_enlarged_and_of_large_ones_every_second_pixel_is_shown(draw):
    assert draw(np.zeros((64, 50, 1)), np.zeros((64, 50), int)).shape == (LEAST, 400, 3)
    assert draw(np.zeros((10, MOST + 2, 1)), np.zeros((10, MOST + 2), int)).shape == (5, MOST // 2 + 1, 3)


def test_the_uncertainty_is_beside_it_with_its_legend(draw):
    size, uncertainty = LEAST, np.zeros((LEAST, LEAST), np.float32)
    uncertainty[:, 1], uncertainty[:, 2], uncertainty[0, 0] = 2.0, 1.0, np.nan
    picture = draw(np.ones((size, size, 1)), np.zeros((size, size), int), uncertainty)
    assert picture.shape == (size, 2 * size + LEGEND + 2 * GAP, 3)
    beside = picture[:, size + GAP : 2 * size + GAP]
    assert tuple(beside[0, 0]) == NOT_FINITE
    assert [tuple(beside[9, i]) for i in range(3)] == [MAGMA[0], MAGMA[-1], MAGMA[2]]
    legend = picture[:, 2 * size + 2 * GAP :]
    assert {tuple(pixel) for pixel in legend[:, 10]} >= {MAGMA[0], MAGMA[-1]}
    assert (legend[..., 2] > 200).sum() > 20  # text: magma has no such blue


def test_volumes_show_their_middle(draw):
    image, mask = np.zeros((3, LEAST, LEAST, 1)), np.zeros((3, LEAST, LEAST), int)
    image[1, 5], mask[0] = 1.0, 8
    picture = draw(image, mask, image[..., 0])
    assert picture[5, 7].tolist() == [255, 255, 255]
    assert tuple(picture[5, LEAST + GAP + 7]) == MAGMA[-1]


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_blank_images_are_drawn(draw, value):
    blank = np.full((20, 30, 2), value)
    assert draw(blank, np.zeros((20, 30), int), blank[..., 0]).any()


def test_what_does_not_match_is_refused(tmp_path):
    image, mask = np.zeros((8, 8, 1)), np.zeros((8, 8), int)
    for arguments in ((image, mask[:7]), (image[..., 0], mask), (image[:0], mask[:0])):
        with pytest.raises(DataError, match=r"expected .* alike; to fix"):
            overlay(*arguments, tmp_path / "a.png")
    with pytest.raises(DataError, match="integer labels"):
        overlay(image, mask * 0.5, tmp_path / "a.png")
    with pytest.raises(DataError, match="shapes"):
        overlay(image, mask, tmp_path / "a.png", np.zeros((8, 9)))
    assert not list(tmp_path.iterdir())
