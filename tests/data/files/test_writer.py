import json

import numpy as np
import pytest
import tifffile

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import as_dtype, write_image
from jaxdiff.data.info import DataInfo

RGB = ("red", "green", "blue")
CASES = {
    "two channels": ((32, 40, 2), DataInfo("YXC", ("DAPI", "GFP"), pixel_size={"Y": 0.1, "X": 0.1}, unit="µm")),
    "anisotropic stack": (
        (5, 32, 40, 2),
        DataInfo("ZYXC", ("a", "b"), pixel_size={"Z": 0.5, "Y": 0.1, "X": 0.1}, unit="µm", synthetic=True),
    ),
    "unknown size": ((5, 32, 40, 1), DataInfo("ZYXC", ("0",), dtype="float32")),
    "partly known size": ((32, 4, 3), DataInfo("YXC", tuple("012"), pixel_size={"X": 250.0}, unit="nm", dtype="int16")),
    "colour": ((32, 40, 3), DataInfo("YXC", RGB, colour=True, dtype="uint8")),
    "colour stack": ((4, 32, 40, 3), DataInfo("ZYXC", RGB, colour=True, dtype="uint8", synthetic=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read(name, tmp_path):
    shape, info = CASES[name]
    array = np.random.default_rng(0).integers(0, 120, shape).astype(info.dtype)
    assert write_image(tmp_path / "new" / "a.ome.tif", array, info) == 0
    got, got_info = read_image(tmp_path / "new" / "a.ome.tif")
    np.testing.assert_array_equal(got, array)
    assert got.dtype == info.dtype
    assert got_info == info
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.ome.tif"]


def test_another_reader_sees_the_same(tmp_path):
    shape, info = CASES["anisotropic stack"]
    write_image(tmp_path / "a.ome.tif", np.zeros(shape, np.uint16), info)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.series[0].axes == "CZYX"
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.5, 0.1, "µm")
        assert [channel["Name"] for channel in pixels["Channel"]] == ["a", "b"]
        assert "ynthetic" in file.ome_metadata


def test_integers_round_and_saturate_with_a_count():
    values, count = as_dtype(np.array([-3.0, -0.4, 0.6, 254.5, 255.4, 255.6, 1e9]), "uint8")
    assert values.tolist() == [0, 0, 1, 254, 255, 255, 255]
    assert count == 3
    values, count = as_dtype(np.array([1.5, -2.5e9]), "float32")
    assert (values.dtype, count) == (np.float32, 0)
    assert as_dtype(np.array([1e300]), "float32")[1] == 1
    assert as_dtype(np.array([40000], np.uint16), "int16") == (np.array([32767]), 1)


def test_refusals_leave_nothing_behind(tmp_path):
    info = DataInfo()
    image = np.zeros((8, 8, 1))
    for path, array, options in (
        ("a.tif", image, {}),
        ("a.ome.tif", image[..., 0], {}),
        ("a.ome.tif", np.zeros((8, 8, 2)), {}),
        ("a.ome.tif", image * np.nan, {}),
        ("a.ome.tif", image, {"dtype": "float16"}),
    ):
        with pytest.raises(DataError, match="to fix"):
            write_image(tmp_path / path, array, info, **options)
    assert not list(tmp_path.iterdir())
    write_image(tmp_path / "a.ome.tif", image, info)
    with pytest.raises(DataError, match="exists"):
        write_image(tmp_path / "a.ome.tif", image + 1, info)
    assert read_image(tmp_path / "a.ome.tif")[0].max() == 0
    write_image(tmp_path / "a.ome.tif", image + 1, info, overwrite=True)
    assert read_image(tmp_path / "a.ome.tif")[0].max() == 1


def test_info_survives_json_and_refuses_nonsense():
    for _, info in CASES.values():
        assert DataInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    binned = CASES["anisotropic stack"][1].binned(2)
    assert binned.pixel_size == {"Z": 0.5, "Y": 0.2, "X": 0.2}
    with pytest.raises(DataError, match="expected"):
        DataInfo.from_json({**binned.to_json(), "extra": 1})
    for bad in ({"axes": "CYX"}, {"pixel_size": {"X": 0.0}}, {"pixel_size": {"Z": 1.0}}):
        with pytest.raises(DataError):
            DataInfo(**bad)
