"""Metrics of several classes: each class as if it were alone, and which is taken for which, planted and counted."""

import numpy as np
import pytest

from jaxdiff import metrics

NAMES = ("round", "long", "dark")


def squares(number, size=4, shape=(24, 60)):
    """Labels 1..n of squares side by side."""
    mask = np.zeros(shape, np.int32)
    for i in range(number):
        mask[4 : 4 + size, 2 + 6 * i : 2 + 6 * i + size] = i + 1
    return mask


def test_a_wrong_class_is_missed_in_one_and_invented_in_the_other_and_confused_only():
    truth = squares(6)
    true = ["round", "round", "round", "long", "long", "long"]
    given = ["round", "round", "long", "long", "long", "long"]
    result = metrics.match_classes(truth, truth, true, given, names=NAMES, thresholds=(0.5,))
    assert [(int(c.tp[0]), int(c.fp[0]), int(c.fn[0])) for c in result.counts] == [(2, 0, 1), (3, 1, 0), (0, 0, 0)]
    np.testing.assert_allclose(result.average_precision[:, 0], [2 / 3, 3 / 4, np.nan])
    assert result.mean_average_precision == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert [q.pq for q in result.panoptic[:2]] == pytest.approx([2 / 2.5, 3 / 3.5])
    assert result.mean_panoptic_quality == pytest.approx((2 / 2.5 + 3 / 3.5) / 2)
    assert result.accuracy == 5 / 6
    expected = np.zeros((4, 4), int)
    expected[0, 0], expected[0, 1], expected[1, 1] = 2, 1, 3
    np.testing.assert_array_equal(result.confusion, expected)


def test_missed_and_invented_objects_stand_in_the_last_column_and_row():
    truth, labels = squares(4), squares(4)
    labels[labels == 2] = 0
    labels[16:20, 2:6] = 700
    true = {1: "round", 2: "dark", 3: "long", 4: "long"}
    given = {1: "round", 3: "long", 4: "long", 700: "dark"}
    result = metrics.match_classes(truth, labels, true, given, names=NAMES)
    expected = np.zeros((4, 4), int)
    expected[0, 0], expected[1, 1], expected[2, 3], expected[3, 2] = 1, 2, 1, 1
    np.testing.assert_array_equal(result.confusion, expected)
    assert result.accuracy == 1
    assert result.counts[2].fp.tolist() == result.counts[2].fn.tolist() == [1] * 9


def test_one_class_is_what_the_metrics_of_one_class_say():
    rng = np.random.default_rng(0)
    truth, labels = squares(8), np.roll(squares(8, size=5), 1, axis=1)
    labels[rng.random(labels.shape) < 0.2] = 0
    result = metrics.match_classes(truth, labels, ["a"] * 8, ["a"] * 8, names=["a"])
    counts = metrics.count_matches(truth, labels)
    for name in ("tp", "fp", "fn"):
        np.testing.assert_array_equal(getattr(result.counts[0], name), getattr(counts, name))
    assert result.panoptic[0] == metrics.panoptic_quality(truth, labels)
    assert result.mean_average_precision == metrics.mean_average_precision(truth, labels)


def test_a_data_set_has_the_sums_of_its_images_and_a_class_of_none_has_no_part_in_means():
    truth = squares(4)
    one = metrics.match_classes(truth, truth, ["round"] * 4, ["round"] * 4, names=NAMES)
    two = metrics.match_classes(truth, truth, ["long"] * 4, ["round"] * 4, names=NAMES)
    both = metrics.pool_classes([one, two])
    assert both.counts[0].tp.tolist() == [4] * 9
    assert both.confusion[:2, 0].tolist() == [4, 4]
    assert both.accuracy == 0.5
    assert both.mean_panoptic_quality == pytest.approx((4 / 6 + 0) / 2)
    blank = metrics.match_classes(0 * truth, 0 * truth, [], [], names=NAMES)
    assert np.isnan([blank.mean_panoptic_quality, blank.mean_average_precision, blank.accuracy]).all()
    assert metrics.pool_classes([both, blank]).mean_panoptic_quality == both.mean_panoptic_quality


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: metrics.match_classes(t, t, ["round"] * 3, ["round"] * 4, names=NAMES), "truth of no class: 4"),
        (
            lambda t: metrics.match_classes(t, t, ["round"] * 4, {1: "round"}, names=NAMES),
            "labels of no class: 2, 3, 4",
        ),
        (lambda t: metrics.match_classes(t, t, ["round"] * 4, ["blue"] * 4, names=NAMES), "labels of class blue"),
        (lambda t: metrics.pool_classes([]), "got 0 images"),
    ],
)
def test_objects_of_no_class_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(squares(4))
