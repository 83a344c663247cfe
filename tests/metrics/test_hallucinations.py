"""Invented and missed objects: planted ones are counted, whatever else is right, and intervals come from images alone."""

import numpy as np
import pytest
from scipy import stats

from jaxdiff import metrics
from jaxdiff.metrics import Hallucinations


def squares(*corners, side=6, shape=(40, 60)):
    """Labels 1..n of squares."""
    mask = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        mask[y : y + side, x : x + side] = number
    return mask


TRUE = [(2, 2), (2, 20), (20, 2), (20, 20)]


def test_planted_and_removed_objects_are_counted_and_nothing_else():
    truth = squares(*TRUE)
    for removed in range(4):
        for planted in range(4):
            kept = TRUE[removed:]
            labels = squares(*kept, *[(2 + 9 * i, 45) for i in range(planted)])
            labels[labels > 0] += 100  # numbers say nothing
            expected = Hallucinations(4, 4 - removed + planted, planted, removed, planted, removed)
            assert metrics.hallucinations(truth, labels) == expected


def test_the_other_way_round_missed_ones_are_invented():
    truth, labels = squares(*TRUE), squares(*TRUE[:3], (30, 50))
    one, other = metrics.hallucinations(truth, labels), metrics.hallucinations(labels, truth)
    assert (one.true, one.invented, one.invented_apart) == (other.shown, other.missed, other.missed_apart)


def test_a_split_or_shifted_object_is_invented_and_missed_but_not_apart():
    truth = squares((10, 10), side=8)
    halves = truth.copy()
    halves[10:18, 14:18] = 2  # IoU 1/2 each: one of them is the object, the other too many
    assert metrics.hallucinations(truth, halves) == Hallucinations(1, 2, 1, 0, 0, 0)
    assert metrics.hallucinations(truth, halves, 0.6) == Hallucinations(1, 2, 2, 1, 0, 0)
    shifted = np.roll(truth, 5, axis=1)
    assert metrics.hallucinations(truth, shifted) == Hallucinations(1, 1, 1, 1, 0, 0)
    assert metrics.hallucinations(truth, shifted, 0.2) == Hallucinations(1, 1, 0, 0, 0, 0)


def test_volumes_and_blank_images():
    truth = squares(*TRUE)
    volume = np.stack([truth, truth])
    assert metrics.hallucinations(volume, volume) == Hallucinations(4, 4, 0, 0, 0, 0)
    blank = np.zeros_like(truth)
    assert metrics.hallucinations(truth, blank) == Hallucinations(4, 0, 0, 4, 0, 4)
    assert metrics.hallucinations(blank, truth) == Hallucinations(0, 4, 4, 0, 4, 0)
    rates = metrics.hallucination_rates([metrics.hallucinations(blank, truth)])
    assert np.isnan(rates.invented.value)
    assert np.isnan(rates.invented.low)


def test_rates_are_of_all_objects_and_samples_do_not_narrow_their_interval():
    images = [Hallucinations(10, 11, 2, 1, 1, 0), Hallucinations(30, 29, 1, 2, 0, 1), Hallucinations(0, 1, 1, 0, 1, 0)]
    rates = metrics.hallucination_rates(images)
    assert rates.invented.value == 4 / 40
    assert (rates.missed.value, rates.missed_apart.value) == (3 / 40, 1 / 40)
    thrice = [metrics.pool_hallucinations([image] * 3) for image in images]
    assert thrice[0] == Hallucinations(30, 33, 6, 3, 3, 0)
    assert metrics.hallucination_rates(thrice) == rates


def test_the_interval_is_that_of_the_mean_of_equal_images():
    """Images of 10 true objects: the rate is a mean of images, whose bootstrap is nearly normal."""
    invented = np.random.default_rng(3).binomial(10, 0.3, 200)
    images = [Hallucinations(10, 10, int(n), 0, 0, 0) for n in invented]
    rate = metrics.hallucination_rates(images, level=0.9).invented
    half = stats.norm.ppf(0.95) * (invented / 10).std() / np.sqrt(200)
    np.testing.assert_allclose([rate.low, rate.high], [rate.value - half, rate.value + half], atol=0.1 * half)


def test_images_of_a_group_are_drawn_together():
    images = [Hallucinations(10, 10, n, 0, 0, 0) for n in (0, 4, 0, 4)]
    together = metrics.hallucination_rates(images, ["A", "A", "B", "B"]).invented
    assert together == (0.2, 0.2, 0.2)
    apart = metrics.hallucination_rates(images).invented
    assert apart.low < 0.2 < apart.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.hallucinations(np.ones((3, 3)), np.ones((3, 3))), "integer labels"),
        (lambda: metrics.hallucinations(np.ones((3, 3), int), np.ones((3, 4), int)), "shape"),
        (lambda: metrics.hallucinations(np.ones((3, 3), int), np.ones((3, 3), int), 0.0), "threshold"),
        (lambda: metrics.hallucination_rates([]), "got no images"),
        (lambda: metrics.hallucination_rates([Hallucinations(1, 1, 0, 0, 0, 0)], ["A", "B"]), "got 2 groups of 1"),
        (lambda: metrics.hallucination_rates([Hallucinations(1, 1, 0, 0, 0, 0)], level=95), "level=95"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
