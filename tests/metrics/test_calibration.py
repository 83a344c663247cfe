"""Calibration, coverage and error by std: the definitions written out, and predictions that are right by construction."""

import numpy as np
import pytest

from jaxdiff import metrics


def by_hand(p, right, bins):
    """Guo et al., equation 3: a loop over bins (i/B, (i+1)/B]."""
    total = 0.0
    for i in range(bins):
        inside = (p > i / bins) & (p <= (i + 1) / bins) if i else p <= 1 / bins
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - p[inside].mean())
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_binary_is_the_published_sum(bins):
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(size=500), np.arange(16) / 15, [0.0, 1.0, 0.1, 0.2]]).reshape(2, 260)
    truth = rng.uniform(size=p.shape) < p**2
    expected = by_hand(p.ravel(), truth.ravel(), bins)
    assert metrics.expected_calibration_error(p, truth, bins) == pytest.approx(expected, rel=1e-12)
    assert metrics.expected_calibration_error(p, truth.astype(np.int64), bins) == pytest.approx(expected, rel=1e-12)


def test_classes_hold_the_top_one_against_the_truth():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(4), size=(7, 50))
    truth = rng.integers(0, 4, (7, 50))
    expected = by_hand(p.max(-1).ravel(), (p.argmax(-1) == truth).ravel(), 15)
    assert metrics.expected_calibration_error(p, truth) == pytest.approx(expected, rel=1e-12)


def test_right_and_wrong_predictions():
    rng = np.random.default_rng(2)
    p = rng.uniform(size=400_000)
    truth = rng.uniform(size=p.size) < p
    assert metrics.expected_calibration_error(p, truth) < 0.005
    assert metrics.expected_calibration_error(np.full(p.size, truth.mean()), truth) == pytest.approx(0, abs=1e-10)
    assert metrics.expected_calibration_error(1 - p, truth) == pytest.approx(0.5, abs=0.01)  # mean |1 − 2p|
    assert metrics.expected_calibration_error(np.ones(10), np.zeros(10, bool)) == 1
    table = metrics.reliability(np.array([0.1, 0.12, 0.95]), np.array([0, 1, 1]), bins=10)
    assert table.counts.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table.frequency[[0, 1, 9]].tolist() == [0, 1, 1]
    assert np.isnan(table.confidence[5])


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_rounding_beyond_the_ends_makes_no_further_bin(bins):
    p = np.array([1.0, 1 + 5e-4, 1 + 2e-16, np.float32(1.0000001), -1e-9, 0.0, 0.5])
    table = metrics.reliability(p, np.array([1, 1, 1, 1, 0, 0, 1]), bins=bins)
    assert table.confidence.shape == table.frequency.shape == table.counts.shape == (bins,)
    assert (table.counts[0], table.counts[-1], table.counts.sum()) == ((7, 7, 7) if bins == 1 else (2, 4, 7))
    if bins > 1:
        assert (table.confidence[0], table.confidence[-1]) == (0, 1)
    classes = np.array([[1 + 4e-4, -4e-4], [0.25, 0.75]])
    assert metrics.reliability(classes, np.array([0, 1]), bins=bins).counts.shape == (bins,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_end_of_a_bin_belongs_to_it_in_every_precision(dtype):
    p = (np.arange(11) / 10).astype(dtype)
    assert metrics.reliability(p, np.zeros(11, bool), bins=10).counts.tolist() == [2, *(1,) * 9]


@pytest.mark.parametrize("number", [2, 4, 19])
def test_interval_of_exchangeable_samples_covers_its_nominal_share(number):
    draws = np.random.default_rng(3).normal(size=(number + 1, 100, 400))
    found = metrics.interval_coverage(draws[0], draws[1:])
    assert found.nominal == pytest.approx({2: 1 / 3, 4: 0.6, 19: 0.9}[number])
    assert found.share == pytest.approx(found.nominal, abs=4 * 0.5 / 200)
    assert (found.samples, found.count) == (number, 40_000)
    assert metrics.interval_coverage(2 * draws[0], draws[1:]).share < found.nominal - 0.1


def test_interval_includes_its_ends():
    assert metrics.interval_coverage(np.array([1.0, 2, 3]), np.array([[1.0, 1, 1], [2, 2, 2]])).share == 2 / 3


def test_error_by_std_of_right_and_overconfident_predictions():
    rng = np.random.default_rng(4)
    std = rng.uniform(0.5, 3, (50, 40, 50))
    mean = rng.normal(size=std.shape)
    truth = mean + std * rng.normal(size=std.shape)
    right = metrics.error_by_std(truth, mean=mean, std=std)
    assert right.error == pytest.approx(right.std, rel=0.04)
    assert right.counts.tolist() == [10_000] * 10
    assert (np.diff(right.std) > 0).all()
    half = metrics.error_by_std(truth, mean=mean, std=std / 2)
    assert half.error == pytest.approx(right.error)
    assert half.std == pytest.approx(right.std / 2)


def test_mean_of_samples_errs_as_documented():
    draws = np.random.default_rng(5).normal(size=(5, 40_000))
    samples = draws[1:]
    found = metrics.error_by_std(draws[0], mean=samples.mean(0), std=samples.std(0, ddof=1), bins=1)
    assert found.error / found.std == pytest.approx(np.sqrt(1 + 1 / 4), rel=0.02)


def test_bins_by_hand():
    found = metrics.error_by_std([0.0, 0, 0, 0, 0], mean=[3.0, 4, 1, 1, 2], std=[2.0, 2, 1, 1, 1], bins=2)
    assert found.counts.tolist() == [2, 3]
    assert found.error == pytest.approx([1, np.sqrt((4 + 9 + 16) / 3)])
    assert found.std == pytest.approx([1, np.sqrt((1 + 4 + 4) / 3)])


ONES = np.ones(4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.expected_calibration_error(ONES * 1.5, ONES.astype(int)),
        lambda: metrics.expected_calibration_error(-ONES, ONES.astype(int)),
        lambda: metrics.expected_calibration_error(ONES, ONES),
        lambda: metrics.expected_calibration_error(ONES, 2 * ONES.astype(int)),
        lambda: metrics.expected_calibration_error(np.ones((4, 3)), np.zeros(4, int)),
        lambda: metrics.expected_calibration_error(np.ones((4, 3)), np.zeros((3, 4), int)),
        lambda: metrics.expected_calibration_error(ONES, ONES.astype(int), bins=0),
        lambda: metrics.interval_coverage(ONES, ONES),
        lambda: metrics.interval_coverage(ONES, ONES[None]),
        lambda: metrics.error_by_std(ONES, mean=ONES, std=-ONES),
        lambda: metrics.error_by_std(ONES, mean=ONES, std=ONES, bins=5),
        lambda: metrics.error_by_std(ONES, mean=ONES[:3], std=ONES),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call()
