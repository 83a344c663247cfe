"""Signed distances by their definition, and instances back from them."""

import numpy as np
import pytest

from jaxdiff.data.errors import DataError
from jaxdiff.data.pairs import signed_distance
from jaxdiff.tasks.instances import instances


def by_definition(mask, truncation):
    """Every pixel against every other."""
    points = np.indices(mask.shape).reshape(mask.ndim, -1).T.astype(float)
    labels = mask.ravel()
    result = np.empty(labels.size)
    for i, label in enumerate(labels):
        other = labels != label if label else labels > 0
        distances = np.sqrt(((points[other] - points[i]) ** 2).sum(axis=1))
        nearest = distances.min() - 0.5 if distances.size else np.inf
        result[i] = (1 if label else -1) * min(nearest, truncation)
    return result.reshape(mask.shape)


@pytest.mark.parametrize("shape", [(17, 23), (6, 9, 8)])
@pytest.mark.parametrize("labels", [0, 1, 2, 5])
def test_distance_is_that_to_the_nearest_pixel_outside(shape, labels):
    rng = np.random.default_rng(labels)
    mask = np.zeros(shape, np.int32)
    for label in range(1, labels + 1):
        corner = [rng.integers(n - 3) for n in shape]
        mask[tuple(slice(c, c + rng.integers(3, 8)) for c in corner)] = label
    np.testing.assert_allclose(signed_distance(mask, 4.0), by_definition(mask, 4.0), atol=1e-5)


def test_an_image_of_one_label_is_inside_everywhere():
    assert (signed_distance(np.ones((5, 5), np.int32), 3.0) == 3).all()
    assert (signed_distance(np.zeros((5, 5), np.int32), 3.0) == -3).all()


def test_touching_instances_are_parted_and_the_edge_of_the_image_is_no_outline():
    mask = np.zeros((20, 30), np.int32)
    mask[:, 5:15], mask[:, 15:25] = 1, 2
    row = signed_distance(mask, 8.0)[0]
    np.testing.assert_array_equal(row[4:16], [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 4.5, 3.5, 2.5, 1.5, 0.5, 0.5])
    assert (np.ptp(signed_distance(mask, 8.0), axis=0) == 0).all()


def test_a_truncation_below_half_a_pixel_is_refused():
    with pytest.raises(DataError, match=r"truncation=0\.5"):
        signed_distance(np.ones((3, 3), np.int32), 0.5)


def discs(shape, places):
    grid = np.indices(shape)
    mask = np.zeros(shape, np.int32)
    for label, (*centre, radius) in enumerate(places, 1):
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre)) <= radius**2
        mask[inside & (mask == 0)] = label
    return mask


@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((60, 80), [(15, 15, 9), (15, 34, 9), (40, 20, 7), (45, 70, 12), (30, 55, 3)]),
        ((24, 30, 30), [(10, 10, 10, 7), (12, 20, 22, 6)]),
    ],
)
def test_instances_come_back_from_their_distance(shape, places):
    mask = discs(shape, places)
    found = instances(signed_distance(mask, 8.0), least=5)
    pairs = np.unique(np.stack([mask.ravel(), found.ravel()]), axis=1).T
    assert len(pairs) == mask.max() + 1, "one label for one label, pixel by pixel"
    assert found.dtype == np.int32
    assert found.max() == mask.max()


def test_instances_that_touch_are_parted_where_they_touch():
    mask = discs((50, 60), [(20, 15, 9), (20, 32, 9), (38, 24, 8)])
    found = instances(signed_distance(mask))
    assert found.max() == 3
    for label in (1, 2, 3):
        counts = np.bincount(found[mask == label], minlength=4)
        assert counts[label] > 0.98 * counts.sum()


def test_what_is_near_across_the_background_is_another_part():
    distance = np.full((30, 40), -8.0)
    distance[2:28, 4:12] = 5.0  # a core
    distance[2:5, 12:38], distance[2:28, 30:38] = 1.0, 1.0  # a thin arm of the same part, far around
    distance[12:20, 20:28] = 5.0  # another core, nearer to the arm
    found = instances(distance)
    assert found.max() == 2
    assert (found[2:28, 30:38] == found[3, 5]).all()


@pytest.mark.parametrize(("dynamic", "number"), [(1.9, 2), (2.1, 1)])
def test_two_maxima_are_two_objects_where_the_pass_between_them_is_deep_enough(dynamic, number):
    x = np.arange(60.0)
    ridge = 2 * np.interp(x, [0, 10, 30, 50, 59], [0.5, 3, 2, 4, 0.5])  # the lower maximum stands 2 above the pass
    distance = np.where(np.abs(np.arange(9) - 4)[:, None] < 4, ridge, -1.0)
    found = instances(distance, dynamic=dynamic)
    assert found.max() == number
    if number == 2:
        np.testing.assert_array_equal(np.unique(found[1:8, :29]), [found[4, 10]])
        np.testing.assert_array_equal(np.unique(found[1:8, 32:]), [found[4, 50]])


def test_small_parts_and_blank_fields():
    assert instances(np.full((9, 9), -3.0)).max() == 0
    distance = signed_distance(discs((40, 40), [(10, 10, 6), (30, 30, 1)]))
    assert instances(distance, least=20).max() == 1
    assert instances(distance, least=1).max() == 2
    np.testing.assert_array_equal(np.unique(instances(np.full((9, 9), 0.2), least=1)), [1])


def test_the_watershed_agrees_with_a_reference():
    segmentation = pytest.importorskip("skimage.segmentation")
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(0)
    mask = discs((120, 120), [(*rng.uniform(5, 115, 2), rng.uniform(7, 12)) for _ in range(25)])
    distance = signed_distance(mask) + 0.1 * rng.standard_normal(mask.shape)
    rebuilt = morphology.reconstruction(distance - 2.5, distance, footprint=np.ones((3, 3)))
    seeds = morphology.label(morphology.local_maxima(rebuilt) & (distance > 0), connectivity=2)
    reference = segmentation.watershed(-distance, seeds, mask=distance > 0, connectivity=2)
    ours = instances(distance, dynamic=2.5, least=1)
    inside = reference > 0
    # Where basins meet, and in parts lower than the dynamic, the two differ by some pixels.
    best = [np.bincount(ours[reference == label]).max() for label in range(1, reference.max() + 1)]
    assert sum(best) / inside.sum() > 0.98
