"""OME-Zarr as another library reads it."""

import json

import numpy as np
import pytest

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.ome_zarr import write_ome_zarr
from jaxdiff.data.info import DataInfo

zarr = pytest.importorskip("zarr")
STACK = DataInfo(
    axes="ZYXC", channel_names=("DAPI", "actin"), pixel_size={"Z": 2.0, "Y": 0.5, "X": 0.5}, unit="µm", dtype="uint16"
)


def test_another_library_reads_values_axes_and_pixel_size(tmp_path):
    image = np.random.default_rng(0).uniform(-5, 70000, (20, 300, 270, 2))
    lost = write_ome_zarr(tmp_path / "a.ome.zarr", image, STACK)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    found = np.moveaxis(group["0"][:], 0, -1)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.clip(np.rint(image), 0, 65535))
    assert lost == np.count_nonzero((np.rint(image) < 0) | (np.rint(image) > 65535))
    (scales,) = group.attrs["ome"]["multiscales"]
    assert group.attrs["ome"]["version"] == "0.5"
    assert [a["name"] for a in scales["axes"]] == ["c", "z", "y", "x"]
    assert [a.get("unit") for a in scales["axes"]] == [None, *["micrometer"] * 3]
    assert scales["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]}]
    assert [c["label"] for c in group.attrs["ome"]["omero"]["channels"]] == ["DAPI", "actin"]
    assert not list(tmp_path.glob(".*"))


def test_an_unknown_pixel_size_is_said(tmp_path):
    write_ome_zarr(tmp_path / "a.ome.zarr", np.ones((4, 5, 1)), DataInfo(), "float32")
    attributes = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert all("unit" not in axis for axis in attributes["ome"]["multiscales"][0]["axes"])
    assert attributes["jaxdiff"]["unknown_pixel_size"] == ["y", "x"]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    for name, image in (("a.zarr", np.ones((4, 5, 1))), ("a.ome.zarr", np.ones((4, 5, 2)))):
        with pytest.raises(DataError):
            write_ome_zarr(tmp_path / name, image, DataInfo())
    with pytest.raises(DataError, match="NaN"):
        write_ome_zarr(tmp_path / "a.ome.zarr", np.full((4, 5, 1), np.nan), DataInfo())
    assert not list(tmp_path.iterdir())
    write_ome_zarr(tmp_path / "a.ome.zarr", np.ones((4, 5, 1)), DataInfo())
    with pytest.raises(DataError, match="which exists"):
        write_ome_zarr(tmp_path / "a.ome.zarr", np.ones((4, 5, 1)), DataInfo())
