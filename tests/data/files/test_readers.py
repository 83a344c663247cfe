import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.read import inspect, read, read_image

RNG = np.random.default_rng(0)
ONE, TWO, STACK = (RNG.integers(0, 4000, shape).astype(np.uint16) for shape in ((32, 40), (2, 32, 40), (5, 32, 40)))
OME_SIZE = {f"PhysicalSize{a}": s for a, s in (("X", 0.1), ("Y", 0.1), ("Z", 0.5))}

# name: array, options of imwrite, axes given; expected image (*spatial, C), axes, pixel size, channel names
CASES = {
    "plane": (ONE, {}, None, ONE[..., None], "YXC", {}, ("0",)),
    "big endian": (ONE, {"byteorder": ">"}, None, ONE[..., None], "YXC", {}, ("0",)),
    "lzw": (ONE, {"compression": "lzw", "predictor": True}, None, ONE[..., None], "YXC", {}, ("0",)),
    "zstd tiles": (ONE, {"compression": "zstd", "tile": (16, 16)}, None, ONE[..., None], "YXC", {}, ("0",)),
    "float": (ONE.astype("f4"), {}, None, ONE[..., None], "YXC", {}, ("0",)),
    "signed": (ONE.astype("i2") - 2000, {}, None, ONE[..., None].astype(int) - 2000, "YXC", {}, ("0",)),
    "rgb": (
        np.moveaxis(STACK[:3], 0, -1).astype("u1"),
        {"photometric": "rgb"},
        None,
        np.moveaxis(STACK[:3], 0, -1).astype("u1"),
        "YXC",
        {},
        ("red", "green", "blue"),
    ),
    "ome channels": (
        TWO,
        {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}, **OME_SIZE}},
        None,
        np.moveaxis(TWO, 0, -1),
        "YXC",
        {"Y": 0.1, "X": 0.1},
        ("DAPI", "GFP"),
    ),
    "ome stack": (
        STACK,
        {"ome": True, "metadata": {"axes": "ZYX", **OME_SIZE}, "compression": "zlib"},
        None,
        STACK[..., None],
        "ZYXC",
        {"Z": 0.5, "Y": 0.1, "X": 0.1},
        ("0",),
    ),
    "imagej stack": (
        STACK,
        {"imagej": True, "resolution": (4, 2), "metadata": {"axes": "ZYX", "spacing": 0.5, "unit": "micron"}},
        None,
        STACK[..., None],
        "ZYXC",
        {"Z": 0.5, "Y": 0.5, "X": 0.25},
        ("0",),
    ),
    "dpi is no pixel size": (
        ONE,
        {"resolution": (72, 72), "resolutionunit": 2},
        None,
        ONE[..., None],
        "YXC",
        {},
        ("0",),
    ),
    "given stack": (STACK, {}, "ZYX", STACK[..., None], "ZYXC", {}, ("0",)),
    "given channels last": (np.moveaxis(TWO, 0, -1), {}, "yxc", np.moveaxis(TWO, 0, -1), "YXC", {}, ("0", "1")),
    "given pages": (STACK, {"metadata": None}, "CYX", np.moveaxis(STACK, 0, -1), "YXC", {}, tuple("01234")),
}


@pytest.mark.parametrize("name", CASES)
def test_tiff(name, tmp_path):
    array, options, axes, image, wanted_axes, size, channels = CASES[name]
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    got, info = read_image(tmp_path / "a.tif", axes)
    np.testing.assert_array_equal(got, image)
    assert got.dtype == array.dtype.newbyteorder("=")
    assert (info.axes, info.dtype, info.channel_names) == (wanted_axes, array.dtype.name, channels)
    assert {a: s for a, s in info.pixel_size.items() if s is not None} == pytest.approx(size)
    assert info.unit == ("µm" if size else None)
    assert info.colour == (name == "rgb")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_times_are_separate_images(kind, compression, tmp_path):
    array = RNG.integers(0, 4000, (3, 2, 32, 40)).astype(np.uint16)
    options = {"metadata": {"axes": "TCYX"}, kind: True}
    if kind == "ome":
        options["compression"] = compression
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    (series,) = inspect(tmp_path / "a.tif")
    assert series.layout.number == 3
    for t in range(3):
        np.testing.assert_array_equal(read(series, t), np.moveaxis(array[t], 0, -1))


def test_times_anywhere_among_the_axes(tmp_path):
    array = RNG.integers(0, 4000, (2, 3, 32, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array)
    (series,) = inspect(tmp_path / "a.tif", "ZTYX")
    np.testing.assert_array_equal(read(series, 1), array[:, 1, :, :, None])


def test_series_are_separate_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(ONE, metadata={"axes": "YX"})
        file.write(STACK[0, :20], metadata={"axes": "YX"})
    first, second = inspect(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(read(first)[..., 0], ONE)
    np.testing.assert_array_equal(read(second)[..., 0], STACK[0, :20])
    with pytest.raises(DataError, match="2 images"):
        read_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("metadata", [{}, None])
def test_a_3d_array_without_axes_asks(metadata, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata=metadata)
    with pytest.raises(DataError, match=r'\(5, 32, 40\).*axes="CYX".*axes="ZYX".*axes="TYX"'):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("axes", ["YX", "CZYX", "QYX", "YYX", "CSX", "C?X"])
def test_wrong_axes_are_refused(axes, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    with pytest.raises(DataError, match="to fix"):
        read_image(tmp_path / "a.tif", axes)


PNGS = {
    "grey 8": ((ONE // 16).astype("u1"), 1),
    "grey 16": (ONE, 1),
    "rgb": (np.moveaxis(STACK[:3] // 16, 0, -1).astype("u1"), 3),
    "rgba": (np.moveaxis(STACK[:4] // 16, 0, -1).astype("u1"), 4),
}


@pytest.mark.parametrize("name", PNGS)
def test_png(name, tmp_path):
    array, channels = PNGS[name]
    Image.fromarray(array).save(tmp_path / "a.png")
    got, info = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(got, array.reshape(32, 40, channels))
    assert (got.dtype, info.dtype, info.pixel_size) == (array.dtype, array.dtype.name, {"Y": None, "X": None})
    assert info.colour == (channels > 1)


def test_png_of_16_bit_colours_keeps_its_depth(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    array = np.moveaxis(STACK[:3] * 16, 0, -1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], array)


TRUNCATED = {
    "plane": (ONE, {}),
    "lzw": (ONE, {"compression": "lzw"}),
    "ome": (TWO, {"ome": True, "metadata": {"axes": "CYX"}}),
    "imagej": (STACK, {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "rgb": (np.moveaxis(STACK[:3], 0, -1).astype("u1"), {"photometric": "rgb"}),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_no_truncated_tiff_is_ever_read(name, tmp_path):
    """tifffile alone gives the first plane of a truncated OME or ImageJ stack, and only logs."""
    array, options = TRUNCATED[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **options)
    image, info = read_image(path)
    whole = path.read_bytes()
    refused = 0
    for keep in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:keep])
        try:
            got, got_info = read_image(path)
        except UnreadableError as error:
            refused += "a.tif" in str(error)
        else:  # nothing that matters was in the missing bytes
            np.testing.assert_array_equal(got, image)
            assert got_info == info
    assert refused >= 40


def test_truncated_png_and_other_files(tmp_path):
    Image.fromarray(ONE).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for keep in range(0, len(whole) - 20, len(whole) // 20):
        (tmp_path / "a.png").write_bytes(whole[:keep])
        with pytest.raises(UnreadableError, match=r"a\.png"):
            read_image(tmp_path / "a.png")
    (tmp_path / "b.tif").write_text("not an image")
    with pytest.raises(UnreadableError, match=r"b\.tif"):
        read_image(tmp_path / "b.tif")
    (tmp_path / "c.jpg").write_text("not an image")
    with pytest.raises(DataError, match="ending in"):
        read_image(tmp_path / "c.jpg")


def test_pixels_are_of_the_file_whose_header_was_read(tmp_path):
    """Strips of the second file lie elsewhere, and a half-written one looks damaged: neither is read as the first."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ONE)
    image = inspect(path)[0]
    np.testing.assert_array_equal(read(image)[..., 0], ONE)
    tifffile.imwrite(path, ONE[::-1], compression="zlib")
    with pytest.raises(DataError, match=r"a.tif, which changed while it was read; expected a file at rest"):
        read(image)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="changed while it was read"):
        read(image)
    path.unlink()
    with pytest.raises(UnreadableError, match="No such file"):
        read(image)
