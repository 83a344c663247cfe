"""Windows of blood cells, and the simple classifiers on cells that differ in what they look at."""

import csv

import numpy as np
import pytest
from PIL import Image

from benchmarks.tasks import blood, cell_classifiers, classification, enlarging
from jaxdiff.data.errors import DataError
from jaxdiff.data.pairs import SuperResolution


@pytest.fixture
def cells():
    """Discs of three radii, dark in green, redder the larger; 12 of each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    images, labels = [], []
    for label, radius in enumerate((3, 7, 12)):
        for _ in range(12):
            image = np.full((32, 32, 3), 230.0)
            inside = y**2 + x**2 < (radius + rng.uniform(-1, 1)) ** 2
            image[inside] = 100 + 40 * label, 60, 120
            images.append(np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
            labels.append(label)
    return np.stack(images), np.array(labels)


@pytest.mark.parametrize("fit", [cell_classifiers.size_rule, cell_classifiers.colour_lda])
def test_classifiers_tell_apart_what_differs(cells, fit):
    images, labels = cells
    probability = fit(images[::2], labels[::2])(images[1::2])
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(probability.argmax(axis=1), labels[1::2])


def test_the_small_network_learns(cells):
    images, labels = cells
    found = cell_classifiers.small_cnn(images[::2], labels[::2], 60)(images[1::2]).argmax(axis=1)
    assert np.mean(found == labels[1::2]) > 0.9


def test_scores_against_those_by_hand():
    truth = np.array([0, 0, 1, 1, 2, 2])
    probability = np.eye(3)[[0, 1, 1, 1, 2, 0]]
    row = classification.scored(probability, truth, np.array(list("abcdef")))
    assert row["balanced_accuracy"]["mean"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert row["macro_f1"]["mean"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    assert row["ece"] == pytest.approx(2 / 6)


def test_windows_are_centred_and_as_wide_at_an_edge(tmp_path):
    (tmp_path / "train").mkdir()
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[80:120, 80:120] = 200
    Image.fromarray(picture).save(tmp_path / "train" / "a.png")
    with (tmp_path / "train.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "cell_type", "xmin", "ymin", "xmax", "ymax"])
        table.writerow(["a.png", "WBC", 80, 80, 120, 120])
        table.writerow(["a.png", "RBC", 0, 0, 10, 10])
    white, red = blood.load(tmp_path, "train")
    assert white.image.shape == red.image.shape == (32, 32, 3)
    assert (white.label, red.label) == (2, 1)
    want = np.zeros((32, 32), np.uint8)
    want[11:21, 11:21] = 200
    np.testing.assert_array_equal(white.image[..., 0], want)
    with pytest.raises(DataError, match=r"val\.csv"):
        blood.load(tmp_path, "val")


def test_no_image_is_in_both_parts_and_budgets_are_nested():
    cells = [blood.Cell(np.full((1, 1, 3), i, np.uint8), i % 3, str(i // 6)) for i in range(60)]
    fit, held = blood.parts(cells)
    assert {c.file for c in fit}.isdisjoint(c.file for c in held)
    assert len(fit) + len(held) == 60
    few, more = ({int(c.image[0, 0, 0]) for c in blood.balanced(fit, most)} for most in (3, 6))
    assert len(few) == 9
    assert few < more


@pytest.mark.parametrize("iterations", [0, 5])
def test_enlarging_keeps_even_light_and_sharpens_an_edge(iterations):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    pairs = SuperResolution((2, 2), (1.5, 1.5), offset=100.0, peak=1000.0)
    how = enlarging.Enlarging(0.1, iterations)
    even = enlarging.restore(how, pairs, 1000, np.full((16, 20), 600.0, np.float32))
    np.testing.assert_allclose(even, 600, rtol=2e-3)
    edge = np.full((16, 20, 1), 200.0, np.float32)
    edge[:, 10:] = 1000
    coarse = pairs.record(np.random.default_rng(0), np.repeat(np.repeat(edge, 2, 0), 2, 1), 1e6)[..., 0]
    found = enlarging.restore(how, pairs, 10**6, coarse)
    assert found.shape == (32, 40)
    slope = float(np.max(np.diff(found.mean(axis=0))))
    if iterations:
        assert slope > float(np.max(np.diff(enlarging.spline(coarse, (2, 2)).mean(axis=0))))
