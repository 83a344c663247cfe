"""The representations of classes: what each diffuses, noise-free, says again which object is where and of which class."""

import numpy as np
import pytest

from benchmarks import classes
from jaxdiff.data.pairs import signed_distance
from jaxdiff.metrics import match_classes


def record():
    """A field of four classes, two of its objects touching."""
    mask = np.zeros((30, 50), np.int32)
    for number, x in enumerate((2, 11, 24, 36), 1):
        mask[8:17, x : x + 9] = number
    return {"mask": mask, "classes": classes.NAMES[::-1], "image": mask[..., None], "name": "f"}


@pytest.mark.parametrize(("name", "channels"), [("distances", 4), ("one-hot", 5), ("bits", 3)])
def test_what_is_diffused_says_objects_and_classes(name, channels):
    pairs, field = classes.PAIRS[name], record()
    target = pairs.prepare(field)["distance"]
    assert target.shape == (30, 50, channels)
    draws = target if name == "one-hot" else pairs.channels(target)
    inside = field["mask"] > 0
    np.testing.assert_array_equal(draws[..., 0], signed_distance(field["mask"], 4.0))
    np.testing.assert_array_equal(draws[..., 1:].argmax(axis=-1)[inside], (4 - field["mask"])[inside])


def test_scores_of_fields_are_those_of_all_objects_and_a_wrong_class_lowers_them():
    field = record()
    right = match_classes(field["mask"], field["mask"], field["classes"], field["classes"], names=classes.NAMES)
    wrong = match_classes(field["mask"], field["mask"], field["classes"], classes.NAMES[::-1], names=classes.NAMES)
    assert right.confusion.tolist() == wrong.confusion.tolist()
    swapped = match_classes(field["mask"], field["mask"], field["classes"], classes.NAMES, names=classes.NAMES)
    both = classes.summary([right, swapped])
    assert both["scores"]["accuracy"]["mean"] == 0.5
    assert both["scores"]["ap50"]["mean"] == pytest.approx(1 / 3)  # of each class one found, one missed, one invented
    assert both["classes"]["mitotic"]["ap50"] == pytest.approx(1 / 3)
