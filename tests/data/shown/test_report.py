import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.data.config import Folder, Synthetic, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.write import check_writable
from jaxdiff.data.shown.report import patches_sheet, report


def test_the_report_tells_what_is_there(images, tmp_path):
    folder = images(num=6, high=300, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1})
    bright = np.full((40, 48), 200, np.uint16)
    bright[:3] = 4095
    tifffile.imwrite(folder / "field_06.tif", bright, ome=True, metadata={"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1})
    blank = np.zeros((40, 60), np.uint16)
    tifffile.imwrite(folder / "field_07.tif", blank, ome=True, metadata={"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1})
    (folder / "field_08.tif").write_bytes(b"II*\0")
    (folder / "notes.txt").touch()
    data = open_data(Folder(folder, allow_blank=True, skip_unreadable=True, validation=0), (16, 16), 0)
    text = report(data, (16, 16))
    for words in (
        "8 to train on, 0 held out",
        "YXC, 40 x 48-60 pixels, 1 channel (0)",
        "uint16",
        "Y 0.1 µm, X 0.1 µm",
        "144 pixels at 4095, in 1 images",
        "1 images with one value in all pixels: field_07.tif",
        "1 files that cannot be read",
        "field_08.tif",
        "not read: 1 .txt",
        "patch         16 x 16",
    ):
        assert words in text, text
    row = next(line for line in text.splitlines() if line.startswith("field_06.tif"))
    assert row.split() == ["field_06.tif", "train", "40x48", "200", "200", "200", "4095", "4095", "144"]
    picture = Image.open(patches_sheet(data, (16, 16), tmp_path / "patches.png"))
    assert picture.size == (4 * 18 + 2, 4 * 18 + 2)


def test_unknown_stays_unknown_and_regions_are_two_parts(images):
    data = open_data(Folder(images(num=1, shape=(60, 40))), (16, 16), 0)
    text = report(data, (16, 16))
    assert "Y unknown, X unknown" in text
    assert "none seen" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("field_00")] == ["train", "validation"]


def test_synthetic_images_come_with_masks_and_classes():
    data = open_data(Synthetic(num=10, seed=1), (16, 16), seed=2)
    assert (len(data.train), len(data.validation), data.info.synthetic) == (9, 1, True)
    record = data.train[0]
    assert (record["image"].dtype, record["mask"].dtype, record["mask"].shape) == (np.uint16, np.int32, (16, 16))
    assert 0 <= record["label"] < len(data.info.class_names)
    assert "mask, label" in report(data, (16, 16))
    again = open_data(Synthetic(num=10, seed=1), (16, 16), seed=2)
    np.testing.assert_array_equal(again.train[0]["image"], record["image"])


@pytest.mark.parametrize("dtype", ["float16", "int64", "uint64"])
def test_types_that_results_cannot_have_are_said(images, dtype):
    data = open_data(Folder(images("odd", num=3, dtype=dtype)), (8, 8), seed=0)
    assert f"dtype         {dtype}, which OME-TIFF does not have: results need --dtype float32" in report(data, (8, 8))
    with pytest.raises(DataError, match=f"{dtype}, which OME-TIFF does not have.*to fix: --dtype float32"):
        check_writable(dtype)
