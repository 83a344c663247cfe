import numpy as np
import pytest
import tifffile

from jaxdiff.data.errors import DataError
from jaxdiff.data.files import read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.labels import write_labels

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
