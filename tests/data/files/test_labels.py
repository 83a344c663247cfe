import json

import numpy as np
import pytest
import tifffile

from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import as_labels, renumbered, too_large, write_labels
from jaxdiff.data.files.read import inspect, read, read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.pairs import signed_distance
from jaxdiff.data.sources.source import Memory

FLAT = DataInfo("YXC", ("DAPI", "GFP"), pixel_size={"Y": 0.2, "X": 0.1}, unit="µm", dtype="float32")
STACK = DataInfo("ZYXC", ("a",), pixel_size={"Z": 300.0}, unit="nm", synthetic=True)
COLOUR = DataInfo("YXC", ("red", "green", "blue"), colour=True, dtype="uint8", class_names=("a", "b"))


@pytest.mark.parametrize(
    ("largest", "given", "dtype"),
    [(0, "int64", "uint16"), (65535, "uint32", "uint16"), (65536, "int32", "uint32"), (2**32 - 1, "int64", "uint32")],
)
def test_labels_come_back_in_the_smallest_type(tmp_path, largest, given, dtype):
    mask = np.zeros((6, 7), given)
    mask[2:4, 3] = largest
    write_labels(tmp_path / "new" / "a.ome.tif", mask, FLAT)
    got, info = read_image(tmp_path / "new" / "a.ome.tif")
    np.testing.assert_array_equal(got[..., 0], mask)
    assert got.dtype == dtype
    assert info == DataInfo("YXC", ("labels",), pixel_size=FLAT.pixel_size, unit="µm", dtype=dtype)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.ome.tif"]


def test_axes_size_and_origin_are_kept(tmp_path):
    mask = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    write_labels(tmp_path / "stack.ome.tif", mask, STACK)
    got, info = read_image(tmp_path / "stack.ome.tif")
    np.testing.assert_array_equal(got[..., 0], mask)
    assert info == STACK.replace(channel_names=("labels",))
    write_labels(tmp_path / "colour.ome.tif", mask[0], COLOUR)
    assert not read_image(tmp_path / "colour.ome.tif")[1].colour
    with tifffile.TiffFile(tmp_path / "colour.ome.tif") as file:
        assert file.series[0].axes == "YX"


def test_refusals_leave_nothing_behind(tmp_path):
    mask = np.ones((6, 7), int)
    for bad, told in (
        (mask.astype(float), "values of type float64; expected integer labels"),
        (mask > 0, "scipy.ndimage.label"),
        (-mask, "labels from -1 to -1"),
        (mask + 2**32, "labels from 4294967297"),
        (mask[..., None], "expected axes YX"),
    ):
        with pytest.raises(DataError, match=told) as error:
            write_labels(tmp_path / "a.ome.tif", bad, FLAT)
        assert "a.ome.tif" in str(error.value)
    assert not list(tmp_path.iterdir())
    write_labels(tmp_path / "a.ome.tif", mask, FLAT)
    with pytest.raises(DataError, match="exists"):
        write_labels(tmp_path / "a.ome.tif", mask, FLAT)
    write_labels(tmp_path / "a.ome.tif", 2 * mask, FLAT, overwrite=True)
    assert read_image(tmp_path / "a.ome.tif")[0].max() == 2


OBJECTS = np.zeros((24, 30), np.int64)
OBJECTS[2:9, 3:9], OBJECTS[2:9, 9:20], OBJECTS[15:22, 4:28] = 1, 2, 3
KEPT = {
    "wrapping to 0": (OBJECTS << 32, OBJECTS),
    "wrapping below 0": ((OBJECTS + 2**31) * (OBJECTS > 0), OBJECTS),
    "uint32": (((OBJECTS + 2**31) * (OBJECTS > 0)).astype(np.uint32), OBJECTS),
    "uint64 to the end": (np.where(OBJECTS > 0, np.uint64(2**64 - 4) + OBJECTS.astype(np.uint64), np.uint64(0)), OBJECTS),
    "one above": (np.where(OBJECTS == 3, 2**31, OBJECTS * 7), OBJECTS),
    "the largest that fits": (np.where(OBJECTS == 3, 2**31 - 1, OBJECTS * 7), np.where(OBJECTS == 3, 2**31 - 1, OBJECTS * 7)),
    "whole floats": (OBJECTS.astype(np.float32) * 1000, OBJECTS * 1000),
    "large floats": (OBJECTS.astype(np.float64) * 2**40, OBJECTS),
    "bool": (OBJECTS > 0, OBJECTS > 0),
    "0 and 255": ((OBJECTS > 0).astype(np.uint8) * 255, (OBJECTS > 0) * 255),
    "int8": (OBJECTS.astype(np.int8), OBJECTS),
    "without background": (OBJECTS + 1, OBJECTS + 1),
    "without background, large": ((OBJECTS + 1) << 40, OBJECTS + 1),
}  # fmt: skip
REFUSED = {
    "one pixel of -1": (np.where(np.indices((24, 30)).sum(0) == 0, -1, OBJECTS), "1 pixels below 0, down to -1"),
    "a border of -1": (np.where(np.indices((24, 30))[0] < 1, -1, OBJECTS).astype(np.int16), "30 pixels below 0"),
    "halves": (OBJECTS / 2, "type float64 that are no whole numbers, such as 0.5"),
    "NaN": (np.where(OBJECTS == 2, np.nan, OBJECTS).astype(np.float32), "such as nan"),
    "infinite": (np.where(OBJECTS == 2, np.inf, OBJECTS), "such as inf"),
    "below 0 as floats": (-OBJECTS.astype(np.float32), "pixels below 0, down to -3"),
    "float32 without the last digit": ((OBJECTS + 2**24).astype(np.float32), "does not tell numbers above 16777216"),
}


@pytest.mark.parametrize("case", KEPT)
def test_objects_of_a_mask_of_any_type_stay_what_they_are(case):
    mask, wanted = KEPT[case]
    got = as_labels(mask, "it")
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, wanted)
    labels = too_large(mask, "it")
    np.testing.assert_array_equal(
        renumbered(mask[5:17, 8:], labels), wanted[5:17, 8:]
    )  # a tile has the labels of the whole
    np.testing.assert_array_equal(signed_distance(mask), signed_distance(np.asarray(wanted, np.int32)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_label_is_refused_by_name(case):
    mask, told = REFUSED[case]
    for use in (as_labels, lambda mask, name: Memory([np.ones((24, 30, 1))], FLAT, [mask])[0]):
        with pytest.raises(DataError, match=told):
            use(mask, "it")
    with pytest.raises(DataError, match="a mask with"):
        signed_distance(mask)


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_masks_are_looked_at_whole_in_blocks(monkeypatch, block):
    monkeypatch.setattr("jaxdiff.data.files.labels.BLOCK", block)
    np.testing.assert_array_equal(as_labels(KEPT["one above"][0], "it"), OBJECTS)
    with pytest.raises(DataError, match="30 pixels below 0"):
        as_labels(REFUSED["a border of -1"][0][::-1], "it")
    assert as_labels(np.zeros((0, 3), bool), "it").shape == (0, 3)


def test_masks_of_files_and_prepared_sets(tmp_path, images):
    """The same root for `Folder`, `prepare` in tiles and `Tfds`."""
    from jaxdiff.data.prepared.prepare import prepare

    folder, masks = images(num=3, shape=(24, 30)), tmp_path / "masks"
    masks.mkdir()
    cases = ("wrapping to 0", "uint32", "large floats")
    tifffile.imwrite(tmp_path / "bits.tif", OBJECTS > 0)  # tifffile says that white is zero
    bits = inspect(tmp_path / "bits.tif")[0]
    np.testing.assert_array_equal(read(bits)[..., 0], OBJECTS > 0)
    for i, case in enumerate(cases):
        tifffile.imwrite(masks / f"field_{i:02}.tif", KEPT[case][0])
    data = open_data(Folder(folder, masks=masks, validation=0.0), (8, 8), seed=0)
    for record in (data.train[i] for i in range(3)):
        assert record["mask"].dtype == np.int32
        np.testing.assert_array_equal(record["mask"], OBJECTS)
    prepare(folder, tmp_path / "sets", "tiles", masks=masks, tile=(24, 16))
    report = json.loads(next((tmp_path / "sets" / "tiles").rglob("report.json")).read_text())["masks"]
    assert report["masks"] == 6
    assert report["objects"] == {"all": 15, "least": 2, "median": 2.5, "most": 3}, (
        "2 and 3 objects in the tiles of each"
    )
    assert report["background_share"] == np.mean([OBJECTS[:, :16] == 0, OBJECTS[:, 14:] == 0])
    assert not report["warnings"]
    tiles = open_data(Tfds("tiles", tmp_path / "sets", validation=0.0), (8, 8), seed=0).train
    assert len(tiles) == 6
    for i in range(6):
        start = 14 if "x 14" in tiles[i]["name"] else 0
        np.testing.assert_array_equal(tiles[i]["mask"], OBJECTS[:, start : start + 16])
    tifffile.imwrite(masks / "field_01.tif", REFUSED["one pixel of -1"][0])
    for make in (
        lambda: open_data(Folder(folder, masks=masks), (8, 8), seed=0),
        lambda: prepare(folder, tmp_path / "sets", "again", masks=masks),
    ):
        with pytest.raises(DataError, match=r"field_01.tif with 1 pixels below 0|mask of field_01.tif with 1 pixels"):
            make()
