"""Copy-paste, and the arithmetic of the arms, on fields with a known answer."""

import numpy as np
import pytest
import tifffile

from benchmarks.tasks import synthetic_help, unusual
from benchmarks.tasks.copy_paste import pasted, turned, whole
from benchmarks.tasks.fields import Field


def field_of(places, light, background, shape=(60, 80)):
    """Discs of radius 4 at `places`, `light` above a background."""
    y, x = np.indices(shape)
    mask = np.zeros(shape, np.int32)
    for label, (cy, cx) in enumerate(places, 1):
        mask[np.hypot(y - cy, x - cx) <= 4] = label
    return Field("f", "A01", (background + light * (mask > 0)).astype(np.uint16), mask)


def test_objects_are_pasted_whole_where_nothing_lies_with_their_own_light():
    fields = [field_of([(10, 10)], 100, 50), field_of([(30, 30), (0, 50)], 300, 200)]
    for seed in range(5):
        made = pasted(np.random.default_rng(seed), fields)
        assert made.image.dtype == np.uint16
        labels, sizes = np.unique(made.mask, return_counts=True)
        np.testing.assert_array_equal(labels, np.arange(len(labels)))
        assert len(labels) > 5
        area = np.count_nonzero(fields[0].mask)
        own = np.unique(fields[0].mask if made.image.min() == 50 else fields[1].mask, return_counts=True)[1][1:]
        added = sorted(sizes[1:])
        for size in own:
            added.remove(size)
        assert set(added) == {area}, "none cut, none covered"
        background = made.image.min()
        light = made.image[made.mask > 0].astype(int) - background
        assert set(np.unique(light)) <= {100, 300}


def test_objects_that_an_edge_cuts_are_not_whole():
    assert whole(field_of([(10, 10), (0, 50), (40, 79)], 1, 0).mask) == [1]


def test_turns_are_the_eight_symmetries():
    image = np.arange(6.0).reshape(2, 3)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        first, second = turned(rng, image, image.astype(np.int32))
        np.testing.assert_array_equal(first, second)
        seen.add((first.shape, first.tobytes()))
    assert len(seen) == 8


def test_differences_are_paired_by_seed():
    def arm(value):
        return {"scores": {"ap": {"mean": value}}}

    rows = {
        "0": {"real": arm(0.5), "pasted": arm(0.6), "generated": arm(0.4)},
        "1": {"real": arm(0.7), "pasted": arm(0.9), "generated": arm(0.8)},
    }
    found = synthetic_help.differences(rows)
    assert found["pasted - real"]["ap"]["seeds"] == pytest.approx([0.1, 0.2])
    assert found["pasted - real"]["ap"]["mean"] == pytest.approx(0.15)
    assert found["pasted - real"]["ap"]["standard_error"] == pytest.approx(0.05)
    assert found["generated - pasted"]["ap"]["mean"] == pytest.approx(-0.15)


def test_sets_are_written_whole_and_not_again(tmp_path):
    field = field_of([(10, 10)], 100, 50)
    synthetic_help.write(tmp_path / "set", {"a": field})
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "set" / "images" / "a.tif"), field.image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "set" / "masks" / "a.tif"), field.mask)
    synthetic_help.write(tmp_path / "set", {"b": field})
    assert [path.name for path in (tmp_path / "set" / "images").iterdir()] == ["a.tif"]


def test_area_under_the_curve_is_the_chance_to_score_higher():
    usual, unusual_ = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, -5.0])
    found = unusual.areas(usual, unusual_, np.array(list("abcd")), np.array(list("xy")))
    assert found["above"]["mean"] == pytest.approx((2.5 + 0) / 8)
    assert found["apart"]["mean"] == pytest.approx((2.5 + 4) / 8)
    assert found["above"]["low"] <= found["above"]["mean"] <= found["above"]["high"]


@pytest.mark.parametrize("name", unusual.SPOILT)
def test_spoilt_windows_keep_their_size_and_a_plain_one_stays(name):
    plain = np.full((32, 32, 3), 7.0)
    np.testing.assert_allclose(unusual.SPOILT[name](plain), plain)
