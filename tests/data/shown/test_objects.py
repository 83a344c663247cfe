"""The table of objects, against scikit-image's regionprops and by hand."""

import csv

import numpy as np
import pytest

from jaxdiff.data.errors import DataError
from jaxdiff.data.shown.objects import objects, write_csv


def cells(shape, number, seed=0):
    """Scattered labels with gaps in their numbers, pixels of one label not always connected."""
    rng = np.random.default_rng(seed)
    centres = rng.random((number, len(shape))) * shape
    places = np.stack(np.indices(shape), -1)
    distance = np.linalg.norm(places[..., None, :] - centres, axis=-1)
    labels = rng.choice(np.arange(1, 100_000), number, replace=False)
    return np.where(distance.min(-1) < 4, labels[distance.argmin(-1)], 0)


@pytest.mark.parametrize("shape", [(40, 53), (9, 30, 21)])
def test_regionprops_agrees(shape):
    measure = pytest.importorskip("skimage.measure")
    rng = np.random.default_rng(1)
    mask, image = cells(shape, 12), rng.integers(0, 4000, (*shape, 2)).astype(np.uint16)
    uncertainty = rng.random(shape).astype(np.float32)
    spacing = dict(zip("ZYX"[-len(shape) :], (0.5, 0.2, 0.3)[-len(shape) :]))
    got = objects(mask, image, spacing, "µm", channel_names=("DAPI", "GFP"), uncertainty=uncertainty)
    regions = measure.regionprops(mask, np.concatenate([image, uncertainty[..., None]], -1))
    assert got["label"].tolist() == [r.label for r in regions]
    axes = "zyx"[-len(shape) :]
    for i, region in enumerate(regions):
        np.testing.assert_allclose([got[f"centroid_{a}"][i] for a in axes], region.centroid)
        first, last = ([got[f"{end}_{a}"][i] for a in axes] for end in ("first", "last"))
        assert (*first, *(n + 1 for n in last)) == region.bbox
        area = got["area_pixels" if len(shape) == 2 else "volume_voxels"][i]
        assert area == region.area
        unit = got["area_um2" if len(shape) == 2 else "volume_um3"][i]
        np.testing.assert_allclose(unit, region.area * np.prod(list(spacing.values())))
        means = [got[f"mean_{name}"][i] for name in ("DAPI", "GFP", "uncertainty")]
        np.testing.assert_allclose(means, region.intensity_mean, rtol=1e-6)
        assert [got["max_DAPI"][i], got["max_GFP"][i]] == region.intensity_max[:2].tolist()


def test_every_column_by_hand():
    mask = np.zeros((5, 6), np.uint16)
    mask[1:3, 2:4] = 7  # inside
    mask[4, 5] = 3  # in the corner
    image = np.arange(30, dtype=np.float32).reshape(5, 6, 1)
    table = objects(mask, image, {"Y": 2.0, "X": 0.5}, "nm", classes={3: "small", 7: "square"}, uncertainty=mask / 7)
    assert {name: column.tolist() for name, column in table.items()} == {
        "label": [3, 7],
        "class": ["small", "square"],
        "centroid_y": [4.0, 1.5],
        "centroid_x": [5.0, 2.5],
        "area_pixels": [1, 4],
        "area_nm2": [1.0, 4.0],
        "first_y": [4, 1],
        "first_x": [5, 2],
        "last_y": [4, 2],
        "last_x": [5, 3],
        "mean_0": [29.0, 11.5],
        "max_0": [29.0, 15.0],
        "mean_uncertainty": [3 / 7, 1.0],
        "touches_border": [True, False],
    }


@pytest.mark.parametrize("sizes", [None, {"Y": None, "X": None}, {"Y": 0.5, "X": None}])
def test_an_unknown_pixel_size_gives_no_area_in_units(sizes):
    assert not [name for name in objects(np.eye(4, dtype=int), pixel_size=sizes, unit="µm") if "um" in name]


def test_channels_of_one_name_are_told_apart():
    image = np.arange(4.0) * np.ones((3, 3, 1))
    names = ("a", "b", "a", "uncertainty")
    table = objects(np.ones((3, 3), int), image, channel_names=names, uncertainty=np.full((3, 3), 9.0))
    means = {name: column.tolist() for name, column in table.items() if name.startswith("mean")}
    assert means == {
        "mean_a_0": [0],
        "mean_b": [1],
        "mean_a_2": [2],
        "mean_uncertainty_3": [3],
        "mean_uncertainty": [9],
    }


def test_a_blank_mask_is_an_empty_table_with_the_same_columns(tmp_path):
    image, size = np.ones((4, 4, 2)), {"Y": 1.0, "X": 1.0}
    full, empty = (objects(m, image, size, "µm", {1: 0}) for m in (np.eye(4, dtype=int), np.zeros((4, 4), int)))
    assert list(full) == list(empty)
    assert {len(column) for column in empty.values()} == {0}
    write_csv(tmp_path / "a.csv", empty)
    assert (tmp_path / "a.csv").read_text() == ",".join(full) + "\n"


def test_csv_keeps_every_digit(tmp_path):
    rng = np.random.default_rng(0)
    names = {int(n): "a, b" for n in np.unique(cells((40, 53), 9))}
    table = objects(cells((40, 53), 9), rng.random((40, 53, 1)), {"Y": 0.1, "X": 0.1}, "µm", names)
    write_csv(tmp_path / "new" / "a.csv", table)
    with (tmp_path / "new" / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    for name, column in table.items():
        assert [row[name] for row in rows] == [str(value) for value in column.tolist()]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.csv"]
    with pytest.raises(DataError, match="exists"):
        write_csv(tmp_path / "new" / "a.csv", table)
    write_csv(tmp_path / "new" / "a.csv", {"label": np.arange(2)}, overwrite=True)
    assert (tmp_path / "new" / "a.csv").read_text() == "label\n0\n1\n"


def test_refusals():
    mask = np.eye(4, dtype=int)
    for arguments, told in (
        ((mask / 2,), "integer labels"),
        ((mask, np.ones((4, 4))), r"an image of shape \(4, 4\); expected \(4, 4\) and a channel axis"),
        ((mask, np.ones((5, 4, 1))), r"an image of shape \(5, 4, 1\)"),
        ((mask, None, None, None, {2: "a"}), "object 1 without a class"),
        ((mask[0],), r"expected \(Y, X\)"),
    ):
        with pytest.raises(DataError, match=told):
            objects(*arguments)
    with pytest.raises(DataError, match="expected 2 names"):
        objects(mask, np.ones((4, 4, 2)), channel_names=("a",))
    with pytest.raises(DataError, match="an uncertainty of shape"):
        objects(mask, uncertainty=np.ones((4, 5)))
