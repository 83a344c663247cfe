"""Segmentation metrics against their definitions, written out over boolean masks and tried over all matchings."""

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxdiff import metrics


def blobs(rng, shape, number, reach):
    """Label image of boxes with ids that have gaps; later boxes cover earlier ones."""
    mask = np.zeros(shape, np.int32)
    for i in range(number):
        start = [rng.integers(0, n - 2) for n in shape]
        mask[tuple(slice(s, s + rng.integers(2, reach)) for s in start)] = 3 * i + 2
    return mask


def cases():
    rng = np.random.default_rng(0)
    for trial in range(12):
        shape = (14, 15) if trial % 3 else (6, 8, 9)
        yield blobs(rng, shape, 5, 7), blobs(rng, shape, 6, 7)
    truth = blobs(rng, (40, 40), 12, 12)
    yield truth, np.roll(truth, 2, axis=1)
    yield truth, truth.T


CASES = list(cases())


def objects(mask):
    return [mask == i for i in np.unique(mask) if i]


def ious(truth, labels):
    a, b = objects(truth), objects(labels)
    return np.array([[np.sum(x & y) / np.sum(x | y) for y in b] for x in a]).reshape(len(a), len(b))


@pytest.mark.parametrize(("truth", "labels"), CASES)
def test_table_is_scikit_images(truth, labels):
    reference = pytest.importorskip("skimage.metrics")
    full = reference.contingency_table(truth, labels).toarray()
    table = metrics.contingency(truth, labels)
    ours = np.zeros_like(full)
    ours[table.truth_ids[table.row], table.label_ids[table.column]] = table.intersection
    assert (ours[1:, 1:] == full[1:, 1:]).all()
    assert (table.truth_area == full.sum(axis=1)[table.truth_ids]).all()
    assert (table.label_area == full.sum(axis=0)[table.label_ids]).all()


@pytest.mark.parametrize(("truth", "labels"), CASES)
def test_matches_as_many_as_the_dense_hungarian_method(truth, labels):
    """StarDist's way, whose sum of IoU also weighs pairs below the threshold and so may end lower."""
    score = ious(truth, labels)
    for threshold in (0.05, 0.1, 0.25, 0.4, 0.5, 0.75):
        most = min(score.shape)
        row, column = linear_sum_assignment(-(score >= threshold).astype(float) - score / (2 * most))
        good = score[row, column] >= threshold
        found = metrics.matching(truth, labels=labels, threshold=threshold)
        assert (found.tp, found.fp, found.fn) == (good.sum(), score.shape[1] - good.sum(), score.shape[0] - good.sum())
        assert found.iou.sum() >= score[row, column][good].sum() - 1e-12
        pairs = [np.sum((truth == i) & (labels == j)) for i, j in zip(found.truth_ids, found.label_ids)]
        assert all(pairs)
        assert len(set(found.truth_ids)) == len(set(found.label_ids)) == found.tp


def test_matching_is_the_best_of_all():
    for truth, labels in CASES[:12]:
        score = ious(truth, labels)
        score = score if score.shape[0] <= score.shape[1] else score.T
        for threshold in (0.05, 0.2):
            best = max(
                (sum(s >= threshold for s in taken), sum(s for s in taken if s >= threshold))
                for columns in itertools.permutations(range(score.shape[1]), len(score))
                for taken in [[score[i, j] for i, j in enumerate(columns)]]
            )
            found = metrics.matching(truth, labels=labels, threshold=threshold)
            assert (found.tp, found.iou.sum()) == (best[0], pytest.approx(best[1]))


def test_known_example():
    truth = np.zeros((10, 10), int)
    truth[:4, :4], truth[6:, :5], truth[6:, 6:] = 1, 2, 9
    labels = np.zeros_like(truth)
    labels[:4, 1:5], labels[6:, :5], labels[0, 9] = 4, 7, 1  # IoU 12/20 and 1, one invented, one missed
    counts = metrics.count_matches(truth, labels=labels, thresholds=[0.5, 0.6, 0.61])
    assert counts.tp.tolist() == [2, 2, 1]
    assert counts.fp.tolist() == [1, 1, 2]
    assert counts.fn.tolist() == [1, 1, 2]
    assert counts.average_precision == pytest.approx([0.5, 0.5, 0.2])
    assert counts.precision == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert counts.f1 == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert metrics.mean_average_precision(truth, labels=labels) == pytest.approx((3 * 0.5 + 6 * 0.2) / 9)
    assert metrics.aji(truth, labels=labels) == pytest.approx((12 + 20) / (20 + 20 + 16 + 1))
    quality = metrics.panoptic_quality(truth, labels=labels)
    assert quality[:3] == pytest.approx((1.6 / 3, 0.8, 2 / 3))
    assert metrics.dice(truth, labels) == pytest.approx(2 * 32 / (52 + 37))
    assert metrics.iou(truth, labels) == pytest.approx(32 / 57)


def test_exactly_a_half_matches_for_precision_and_not_for_panoptic_quality():
    truth, labels = np.array([[1, 1, 0]]), np.array([[1, 0, 0]])
    assert metrics.average_precision(truth, labels=labels) == 1
    assert metrics.panoptic_quality(truth, labels=labels).tp == 0


@pytest.mark.parametrize(("truth", "labels"), CASES)
def test_aji_and_panoptic_quality_as_published(truth, labels):
    a, b, score = objects(truth), objects(labels), ious(truth, labels)
    shared, union, used = 0, 0, set()
    for i, x in enumerate(a):
        if score[i].any():
            j = int(score[i].argmax())
            used.add(j)
            shared, union = shared + np.sum(x & b[j]), union + np.sum(x | b[j])
        else:
            union += x.sum()
    union += sum(y.sum() for j, y in enumerate(b) if j not in used)
    assert metrics.aji(truth, labels=labels) == pytest.approx(shared / union, rel=1e-14)
    good = score[score > 0.5]
    tp, fp, fn = len(good), len(b) - len(good), len(a) - len(good)
    quality = metrics.panoptic_quality(truth, labels=labels)
    assert quality.pq == pytest.approx(good.sum() / (tp + fp / 2 + fn / 2))
    assert quality.pq == pytest.approx(quality.sq * quality.rq)
    assert (quality.tp, quality.fp, quality.fn) == (tp, fp, fn)


def test_perfect_whatever_the_numbers():
    truth = CASES[-1][0]
    ids = np.unique(truth)
    other = np.random.default_rng(1).permutation(np.arange(1, len(ids) + 1)) * 10**6  # large ids: sorted, not counted
    renamed = np.where(truth > 0, other[np.searchsorted(ids, truth)], 0)
    for labels in (renamed, renamed.astype(np.uint64)):
        assert (metrics.average_precision(truth, labels=labels, thresholds=metrics.THRESHOLDS) == 1).all()
        assert metrics.aji(truth, labels=labels) == metrics.panoptic_quality(truth, labels=labels).pq == 1
        assert metrics.dice(truth, labels) == metrics.iou(truth, labels) == 1


def test_blank():
    blank, one = np.zeros((5, 5), np.uint16), np.eye(5, dtype=np.uint16)
    ratios = (
        metrics.dice,
        metrics.iou,
        metrics.aji,
        metrics.mean_average_precision,
        lambda truth, labels: metrics.panoptic_quality(truth, labels=labels).pq,
    )
    for ratio in ratios:
        assert ratio(blank, labels=blank) == 1
        assert ratio(blank, labels=one) == ratio(one, labels=blank) == 0
    assert metrics.count_matches(blank, labels=one).fp.tolist() == [1] * 9
    assert metrics.matching(np.zeros((0, 5), int), labels=np.zeros((0, 5), int)).tp == 0


def test_pooled_is_the_image_of_all_side_by_side():
    pairs = CASES[3:6]
    shift = 100 * np.arange(3)[:, None]
    truth, labels = (
        np.concatenate([np.where(p[i] > 0, p[i] + s, 0).ravel() for p, s in zip(pairs, shift)]) for i in (0, 1)
    )
    pairs = [(t.ravel(), l.ravel()) for t, l in pairs]
    pooled = metrics.pool(metrics.count_matches(t, labels=l, thresholds=(0.2, 0.5)) for t, l in pairs)
    assert (pooled.average_precision == metrics.average_precision(truth, labels=labels, thresholds=(0.2, 0.5))).all()
    panoptic = metrics.pool_panoptic(metrics.panoptic_quality(t, labels=l) for t, l in pairs)
    assert panoptic == pytest.approx(metrics.panoptic_quality(truth, labels=labels))


def test_fast_on_a_field_of_150_nuclei():
    y, x = np.mgrid[:520, :696]
    rng = np.random.default_rng(0)
    truth = np.zeros((520, 696), np.uint16)
    for i in range(150):
        cy, cx = rng.uniform(20, 500), rng.uniform(20, 676)
        truth[(y - cy) ** 2 + (x - cx) ** 2 < 15**2] = i + 1
    labels = np.roll(truth, 4, axis=(0, 1))
    for call in (metrics.mean_average_precision, metrics.aji, metrics.panoptic_quality):
        seconds = []
        for _ in range(5):
            start = time.thread_time()
            call(truth, labels=labels)
            seconds.append(time.thread_time() - start)
        assert min(seconds) < 0.05


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.average_precision(np.zeros((3, 3)), labels=np.zeros((3, 3), int)),
        lambda: metrics.aji(np.zeros((3, 3), int), labels=np.zeros((3, 3), bool)),
        lambda: metrics.panoptic_quality(np.zeros((3, 3), int), labels=np.zeros((3, 4), int)),
        lambda: metrics.matching(np.full((3, 3), -1), labels=np.zeros((3, 3), int)),
        lambda: metrics.matching(np.zeros((3, 3), int), labels=np.zeros((3, 3), int), threshold=0.0),
        lambda: metrics.average_precision(np.zeros((3, 3), int), labels=np.zeros((3, 3), int), thresholds=[]),
        lambda: metrics.dice(np.zeros((3, 3)), np.zeros((3, 3), int)),
        lambda: metrics.dice(np.zeros((3, 3), int), np.zeros((9,), int)),
        lambda: metrics.pool([]),
        lambda: metrics.pool_panoptic([]),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call()
