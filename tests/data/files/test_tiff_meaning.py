"""What the tags of a TIFF say of its pixels, held against values that were computed without them."""

import io
import json
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.read import check_image, check_mask, inspect, read, read_image

RNG = np.random.default_rng(0)
GREY8, GREY16 = RNG.integers(0, 256, (24, 20)).astype("u1"), RNG.integers(0, 65536, (24, 20)).astype("u2")
RGB = RNG.integers(0, 256, (24, 20, 3)).astype("u1")


def change(path, **tags):
    """Overwrites tags of the first page."""
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("grey", [GREY8, GREY16, GREY16.astype("u4") * 60000], ids=["8", "16", "32"])
def test_white_is_zero_is_inverted_and_said(grey, compression, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite", compression=compression)
    with pytest.warns(UserWarning, match=r"a\.tif: white is zero"):
        image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 0], np.iinfo(grey.dtype).max - grey)
    assert info.dtype == grey.dtype.name
    (one,) = inspect(tmp_path / "a.tif")
    with pytest.raises(DataError, match="white is zero"):
        check_mask(one, one)


def test_bits_are_read_as_they_are_stored(tmp_path):
    """tifffile itself writes boolean arrays with white as zero."""
    bits = GREY8 > 99
    for photometric in ("miniswhite", "minisblack"):
        tifffile.imwrite(tmp_path / "a.tif", bits, photometric=photometric)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], bits)


def test_white_is_zero_has_an_end_only_where_numbers_have_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY8.astype("f4"), photometric="miniswhite")
    with pytest.raises(DataError, match="white is zero"):
        inspect(tmp_path / "a.tif")


def test_white_is_zero_in_12_packed_bits(tmp_path):
    values = RNG.integers(0, 4096, (8, 16))
    bits = ((values.reshape(-1, 1) >> np.arange(11, -1, -1)) & 1).astype("u1").reshape(8, -1)
    rows = np.packbits(bits, axis=1)
    tifffile.imwrite(tmp_path / "a.tif", rows, photometric="miniswhite", metadata=None)
    change(tmp_path / "a.tif", ImageWidth=16, BitsPerSample=12)
    image = read(inspect(tmp_path / "a.tif")[0])
    np.testing.assert_array_equal(image[..., 0], 4095 - values)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14, 24])
def test_packed_bits(bits, tmp_path):
    values = RNG.integers(0, 2**bits, (8, 16))
    packed = np.packbits(
        ((values.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1).astype("u1").reshape(8, -1), axis=1
    )
    for order in (1, 2):
        rows = packed if order == 1 else np.packbits(np.unpackbits(packed, axis=1, bitorder="little"), axis=1)
        tifffile.imwrite(tmp_path / "a.tif", rows, metadata=None, byteorder="<", extratags=[(263, 3, 1, order, True)])
        change(tmp_path / "a.tif", ImageWidth=16, BitsPerSample=bits)
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data.replace(struct.pack("<HHI", 263, 3, 1), struct.pack("<HHI", 266, 3, 1)))
        (one,) = inspect(tmp_path / "a.tif")
        np.testing.assert_array_equal(read(one)[..., 0], values)


@pytest.mark.parametrize(("predictor", "dtype"), [(2, "u1"), (2, "u2"), (2, "u4"), (3, "f4"), (3, "f8")])
def test_predictors(predictor, dtype, tmp_path):
    values = RNG.integers(0, 256, (24, 20)).astype(dtype)
    for byteorder in "<>":
        tifffile.imwrite(tmp_path / "a.tif", values, compression="zlib", predictor=predictor, byteorder=byteorder)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], values)


@pytest.mark.parametrize("photometric", [5, 6, 8, 9, 10, 32803, 32844, 34892])
def test_other_interpretations_are_refused_by_name(photometric, tmp_path):
    array = RGB if photometric in (6, 8, 9, 10) else np.dstack([RGB, GREY8]) if photometric == 5 else GREY8
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb" if array.ndim == 3 else "minisblack", metadata=None)
    change(tmp_path / "a.tif", PhotometricInterpretation=photometric)
    with pytest.raises(DataError, match=rf"a\.tif whose pixels are .*\(photometric interpretation {photometric}\)"):
        inspect(tmp_path / "a.tif")


def test_jpeg_of_luma_and_chroma_is_rgb(tmp_path):
    y, x = np.mgrid[:64, :64]
    smooth = np.dstack([y * 3, x * 3, y + x]).astype("u1")
    picture = io.BytesIO()
    Image.fromarray(smooth).save(picture, "jpeg", quality=98, subsampling=0)
    options = {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (1, 1)}
    tifffile.imwrite(tmp_path / "a.tif", iter([picture.getvalue()]), shape=smooth.shape, dtype="u1", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == 6
    image, info = read_image(tmp_path / "a.tif")
    assert (info.channel_names, info.colour) == (("red", "green", "blue"), True)
    assert np.abs(image.astype(int) - smooth).max() <= 8


def test_palettes_are_labels_and_look_up_tables_are_grey(tmp_path):
    colours = RNG.integers(0, 65536, (3, 256)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", GREY8, photometric="palette", colormap=colours)
    (one,) = inspect(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif with a palette"):
        check_image(one)
    np.testing.assert_array_equal(read(one)[..., 0], GREY8)

    green = np.zeros((3, 256), "u2")
    green[1] = np.arange(256) * 257
    tifffile.imwrite(tmp_path / "b.tif", GREY8, photometric="palette", colormap=green)
    with pytest.warns(UserWarning, match="look-up table"):
        image, _ = read_image(tmp_path / "b.tif")
    np.testing.assert_array_equal(image[..., 0], GREY8)
    check_image(inspect(tmp_path / "b.tif")[0])

    for table in (green[:, ::-1], np.sqrt(green / 65535) * 65535):  # falling, and of another gamma
        tifffile.imwrite(tmp_path / "c.tif", GREY8, photometric="palette", colormap=table.astype("u2"))
        with pytest.raises(DataError, match="palette"):
            check_image(inspect(tmp_path / "c.tif")[0])


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_pixels_are_refused(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY8.astype(dtype))
    with pytest.raises(DataError, match="complex pixels"):
        inspect(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["f2", "u8", "i8", "i1", "f8"])
def test_other_numbers_are_kept(dtype, tmp_path):
    values = (GREY8 // 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 0], values)
    assert info.dtype == np.dtype(dtype).name


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_values_of_a_pixel_are_channels_where_black_is_zero_and_colours_in_rgb(planar, tmp_path):
    for number, photometric in ((5, "minisblack"), (3, "rgb"), (4, "rgb")):
        array = RNG.integers(0, 65536, (24, 20, number)).astype("u2")
        stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, planarconfig=planar)
        image, info = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image, array)
        assert info.colour == (photometric == "rgb")


def test_samples_of_several_kinds_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", metadata=None)
    change(tmp_path / "a.tif", BitsPerSample=(5, 6, 5))
    with pytest.raises(DataError, match="samples of"):
        inspect(tmp_path / "a.tif")


def test_what_else_the_tags_say_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY8, extratags=[(274, 3, 1, 3, True)])
    tifffile.imwrite(tmp_path / "b.tif", np.dstack([RGB, GREY8]), photometric="rgb", extrasamples=["assocalpha"])
    curve = {"axes": "YX", "cf": 0, "c0": -32768, "c1": 1, "vunit": "Gray Value"}
    tifffile.imwrite(tmp_path / "c.tif", GREY16, imagej=True, metadata=curve)
    for name, word in (("a", "orientation 3"), ("b", "multiplied by it"), ("c", "c0=-32768")):
        with pytest.warns(UserWarning, match=word):
            read_image(tmp_path / f"{name}.tif")


# Pixel sizes


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({"unit": "um", "zunit": "nm", "spacing": 600}, {"Z": 0.6, "Y": 0.2, "X": 0.2}),
        ({"unit": "um", "yunit": "nm", "spacing": 2}, {"Z": 2.0, "Y": 0.0002, "X": 0.2}),
        ({"unit": "inch", "spacing": 1}, {"Z": 25400.0, "Y": 5080.0, "X": 5080.0}),
        ({"unit": "\\u00B5m", "spacing": -0.5}, {"Z": 0.5, "Y": 0.2, "X": 0.2}),
        ({"unit": "um", "spacing": "0,5"}, {"Y": 0.2, "X": 0.2}),
        ({"unit": "um", "zunit": "pixel", "spacing": 3}, {"Y": 0.2, "X": 0.2}),
        ({"unit": "furlong", "spacing": 3}, {}),
        ({"spacing": 3}, {}),
    ],
)
def test_imagej_units(metadata, size, tmp_path):
    stack = RNG.integers(0, 9, (3, 24, 20)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(5, 5), metadata={"axes": "ZYX", **metadata})
    (one,) = inspect(tmp_path / "a.tif")
    assert one.pixel_size == pytest.approx(size)
    unknown = set("ZYX") - set(size)
    assert bool(one.notes) == bool(unknown and "unit" in metadata)


SCHEMA = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9, "hm": 1e8, "dam": 1e7,
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1, "nm": 1e-3, "pm": 1e-6, "fm": 1e-9, "am": 1e-12, "zm": 1e-15,
    "ym": 1e-18, "Å": 1e-4, "thou": 25.4, "li": 25400 / 12, "in": 25400, "ft": 304800, "yd": 914400, "mi": 1609344e3,
    "ua": 149597870700e6, "ly": 9460730472580800e6, "pc": 3.0856775814913673e22, "pt": 25400 / 72,
}  # fmt: skip


def ome(path, array, xml="", axes="ZYX", **metadata):
    """An OME-TIFF whose metadata are changed by `xml`, (old, new)."""
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **metadata}, photometric="minisblack")
    if xml:
        with tifffile.TiffFile(path) as file:
            text = file.pages[0].description
        for old, new in xml:
            assert old in text, text
            text = text.replace(old, new)
        pages = array.reshape(-1, *array.shape[-2:])
        tifffile.imwrite(path, pages, metadata=None, description=text.encode(), photometric="minisblack")


def test_every_unit_of_the_ome_schema(tmp_path):
    from jaxdiff.data.files.units import MICROMETRES

    for unit, micrometres in SCHEMA.items():
        ome(tmp_path / "a.ome.tif", GREY16, axes="YX", PhysicalSizeX=0.5, PhysicalSizeXUnit=unit, PhysicalSizeY=2)
        (one,) = inspect(tmp_path / "a.ome.tif")
        assert one.pixel_size["X"] * MICROMETRES[one.unit] == pytest.approx(0.5 * micrometres), unit
        assert one.pixel_size["Y"] * MICROMETRES[one.unit] == pytest.approx(2)
        assert not one.notes


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('X="0.2"', 'X="0,2"', "'0,2'"),
        ('X="0.2"', 'X=""', "''"),
        ('X="0.2"', 'X="-1"', "'-1'"),
        ('X="0.2"', 'X="nan"', "'nan'"),
        ('X="0.2"', 'X="1e999"', "'1e999'"),
        ('XUnit="nm"', 'XUnit="pixel"', "pixel"),
        ('XUnit="nm"', 'XUnit="reference frame"', "reference frame"),
        ('XUnit="nm"', 'XUnit="parsnip"', "parsnip"),
        ('XUnit="nm"', 'XUnit=""', "without a unit"),
        ('XUnit="nm"', 'XUnit=" "', "without a unit"),
    ],
)
def test_a_size_that_is_none_is_unknown_and_said(old, new, word, tmp_path):
    sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "µm"}
    ome(tmp_path / "a.ome.tif", GREY16, [(old, new)], "YX", **sizes)
    with pytest.warns(UserWarning, match=word):
        image, info = read_image(tmp_path / "a.ome.tif")
    assert info.pixel_size == {"Y": 0.3, "X": None}
    np.testing.assert_array_equal(image[..., 0], GREY16)


# Which page is which plane

STACK = RNG.integers(0, 65536, (6, 24, 20)).astype("u2")


def tiffdata(*rows):
    return "".join("<TiffData " + " ".join(f'{k}="{v}"' for k, v in row.items()) + "/>" for row in rows)


def document(*images, root="", path=None, pages=STACK, **options):
    """An OME-TIFF of hand-made XML: each image is (attributes of Pixels, what is in it)."""
    body = "".join(
        f'<Image ID="Image:{i}" Name="{name}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" SizeX="20" '
        f'SizeY="24" {attributes}>{inside}</Pixels></Image>'
        for i, (name, attributes, inside) in enumerate(images)
    )
    text = f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {root}>{body}</OME>'
    tifffile.imwrite(path, pages, metadata=None, description=text.encode(), photometric="minisblack", **options)


ONE, TWO = 'SizeZ="1" SizeC="1" SizeT="1"', 'SizeZ="2" SizeC="1" SizeT="1"'


def test_images_have_the_pages_and_the_sizes_that_their_own_elements_name(tmp_path):
    size = 'PhysicalSizeX="{0}" PhysicalSizeY="{0}"'
    document(
        ("a", f"{TWO} {size.format(3)}", tiffdata({"IFD": 4, "PlaneCount": 2})),
        ("nothing here", f"{ONE} {size.format(9)}", "<MetadataOnly/>"),
        ("b", f"{ONE} {size.format(5)}", tiffdata({"IFD": 1})),
        ("c", f"{TWO} {size.format(7)}", tiffdata({"IFD": 0, "FirstZ": 1}, {"IFD": 3, "FirstZ": 0})),
        path=tmp_path / "a.ome.tif",
    )
    a, b, c = inspect(tmp_path / "a.ome.tif")
    assert [one.pixel_size["X"] for one in (a, b, c)] == [3, 5, 7]
    for one, pages in ((a, [4, 5]), (b, [1]), (c, [3, 0])):
        np.testing.assert_array_equal(read(one)[..., 0], STACK[pages] if len(pages) > 1 else STACK[pages[0]])
    assert a.notes == (
        "1 images whose pixels are not in the file are left out",
        "1 pages that its metadata do not name are left out",
    )


def test_one_page_is_not_several_planes(tmp_path):
    """IFD is 0 where a writer forgot it: six planes, each of the first page."""
    planes = tiffdata(*({"FirstZ": z, "PlaneCount": 1} for z in range(6)))
    document(("a", 'SizeZ="6" SizeC="1" SizeT="1"', planes), path=tmp_path / "a.ome.tif")
    with pytest.raises(UnreadableError, match="promise 6 planes, the file holds 1"):
        inspect(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYTCZ", "XYTZC", "XYZTC", "XYCTZ"])
def test_dimension_orders(order, tmp_path):
    sizes = {"Z": 3, "C": 2, "T": 2}
    pages = RNG.integers(0, 65536, (12, 24, 20)).astype("u2")
    attributes = " ".join(f'Size{a}="{n}"' for a, n in sizes.items())
    document(("a", attributes, "<TiffData/>"), path=tmp_path / "a.ome.tif", pages=pages)
    data = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(data.replace(b"XYZCT", order.encode()))
    (one,) = inspect(tmp_path / "a.ome.tif")
    array = pages.reshape(*(sizes[a] for a in order[:1:-1]), 24, 20)
    expected = np.einsum(f"{order[:1:-1]}YX->TZYXC", array)
    for t in range(2):
        np.testing.assert_array_equal(read(one, t), expected[t])


@pytest.mark.parametrize(
    "inside",
    [
        tiffdata({"IFD": 0, "PlaneCount": 9}),
        tiffdata({"IFD": 0, "PlaneCount": 10**9}),
        tiffdata({"IFD": 5, "PlaneCount": 2}),
        tiffdata({"IFD": 6}),
        tiffdata({"IFD": 0}),
        tiffdata({"IFD": 0, "PlaneCount": 2, "FirstZ": 1}),
        tiffdata({"IFD": 0, "PlaneCount": 1, "FirstZ": 7}),
        tiffdata({"IFD": -1}),
        tiffdata({"IFD": "x"}),
        tiffdata({"IFD": 0, "FirstZ": 0}, {"IFD": 1, "FirstZ": 0}, {"IFD": 1, "FirstZ": 1}),
        "",
    ],
)
def test_planes_promised_and_not_there(inside, tmp_path):
    document(("a", TWO, inside), path=tmp_path / "a.ome.tif")
    with pytest.raises(UnreadableError, match=r"a\.ome\.tif.*metadata|OME-XML"):
        inspect(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("axis", "ZCT")
@pytest.mark.parametrize("number", [7, 10**9, 10**18])
def test_sizes_promised_and_not_there(axis, number, tmp_path):
    attributes = " ".join(f'Size{a}="{number if a == axis else 1}"' for a in "ZCT")
    document(("a", attributes, "<TiffData/>"), path=tmp_path / "a.ome.tif")
    with pytest.raises(UnreadableError, match=f"promise {number} planes, the file holds 6"):
        inspect(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('SizeX="20"', 'SizeX="40"'),
        ('SizeY="24"', 'SizeY="12"'),
        ('SizeX="20"', 'SizeX="a"'),
        ('DimensionOrder="XYZCT"', ""),
        ("</OME>", ""),
    ],
)
def test_metadata_that_the_pages_contradict(old, new, tmp_path):
    document(("a", TWO, tiffdata({"IFD": 0, "PlaneCount": 2})), path=tmp_path / "a.ome.tif")
    data = (tmp_path / "a.ome.tif").read_bytes()
    assert old.encode() in data
    (tmp_path / "a.ome.tif").write_bytes(data.replace(old.encode(), new.ljust(len(old)).encode()))
    with pytest.raises(UnreadableError):
        inspect(tmp_path / "a.ome.tif")


def test_metadata_without_an_image(tmp_path):
    document(path=tmp_path / "a.ome.tif")
    with pytest.raises(UnreadableError, match="no Image"):
        inspect(tmp_path / "a.ome.tif")


def test_hidden_axes_are_refused(tmp_path):
    modulo = '<ModuloAlongT Type="lifetime" Start="0" End="5"/>'
    annotation = f'<XMLAnnotation ID="A"><Value><Modulo>{modulo}</Modulo></Value></XMLAnnotation>'
    annotation = f"<StructuredAnnotations>{annotation}</StructuredAnnotations>"
    document(("a", 'SizeZ="1" SizeC="1" SizeT="6"', "<TiffData/>"), path=tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        text = file.pages[0].description.replace("</OME>", annotation + "</OME>")
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=None, description=text.encode())
    with pytest.raises(DataError, match="lifetime along T"):
        inspect(tmp_path / "a.ome.tif")


def test_channels_that_are_colours_of_one_page(tmp_path):
    names = "".join(f'<Channel ID="C:{n}" Name="{n}"/>' for n in "rgb")
    document(
        ("a", 'SizeZ="1" SizeC="3" SizeT="1"', names + tiffdata({"IFD": 0})),
        path=tmp_path / "a.ome.tif", pages=np.moveaxis(STACK[:3], 0, -1).copy(), planarconfig="contig",
    )  # fmt: skip
    image, info = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image, np.moveaxis(STACK[:3], 0, -1))
    assert (info.channel_names, info.colour) == (("r", "g", "b"), False)


# Other files


def uuid(name, text="urn:uuid:0", **attributes):
    row = " ".join(f'{k}="{v}"' for k, v in attributes.items())
    return f'<TiffData {row}><UUID FileName="{name}">{text}</UUID></TiffData>'


def test_no_other_file_is_opened(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "other.tif", STACK + 1)
    opened, open_ = [], tifffile.TiffFile
    monkeypatch.setattr(
        tifffile,
        "TiffFile",
        lambda file, *a, **k: opened.append(str(getattr(file, "name", file))) or open_(file, *a, **k),
    )
    own, elsewhere = tmp_path / "a.ome.tif", tmp_path / "other.tif"
    for name in (elsewhere, "other.tif", "../x/other.tif", "http://localhost:9/other.tif", "missing.tif"):
        document(("a", ONE, uuid(name, IFD=0)), path=own)
        with pytest.raises(DataError, match="other files alone"):
            inspect(own)
        document(("a", TWO, tiffdata({"IFD": 0}) + uuid(name, IFD=0, FirstZ=1)), path=own)
        with pytest.raises(DataError, match="several files"):
            inspect(own)
        document(("a", ONE, uuid(name, IFD=0)), ("b", ONE, tiffdata({"IFD": 2})), path=own)
        (one,) = inspect(own)
        np.testing.assert_array_equal(read(one)[..., 0], STACK[2])
        assert "1 images whose pixels are not in the file are left out" in one.notes
    assert set(opened) <= {str(own)}


def test_a_file_is_known_by_its_uuid_and_then_by_its_name(tmp_path):
    document(
        ("a", ONE, uuid("before.ome.tif", "urn:uuid:7", IFD=3)),
        root='UUID="urn:uuid:7"',
        path=tmp_path / "renamed.ome.tif",
    )
    np.testing.assert_array_equal(read(inspect(tmp_path / "renamed.ome.tif")[0])[..., 0], STACK[3])
    document(("a", ONE, uuid("B.ome.tif", "urn:uuid:7", IFD=3)), path=tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(read(inspect(tmp_path / "b.ome.tif")[0])[..., 0], STACK[3])


def test_metadata_in_another_file_ask_for_axes(tmp_path):
    text = '<OME xmlns="x"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:1"/></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=None, description=text)
    with pytest.raises(DataError, match="in another file"):
        inspect(tmp_path / "a.ome.tif")
    (one,) = inspect(tmp_path / "a.ome.tif", "ZYX")
    np.testing.assert_array_equal(read(one)[..., 0], STACK)


# Planes promised by other metadata


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "text",
    [
        "ImageJ=1.11a\nimages=8\nslices=8\n",
        "ImageJ=1.11a\nimages=8\nframes=8\n",
        "ImageJ=1.11a\nimages=8\nchannels=8\nhyperstack=true\n",
        "ImageJ=1.11a\nimages=1000000000\nslices=1000000000\n",
        "ImageJ=1.11a\nimages=12\nslices=3\nchannels=4\n",
        '{"shape": [8, 24, 20], "axes": "ZYX"}',
        '{"shape": [8, 24, 20]}',
        '{"shape": [1000000000, 24, 20], "axes": "TYX"}',
    ],
)
def test_planes_promised_by_other_metadata(text, compression, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata=None, description=text, compression=compression)
    for axes in (None, "ZYX"):
        with pytest.raises(UnreadableError, match="promise"):
            inspect(tmp_path / "a.tif", axes)


def test_planes_in_one_piece_that_run_into_something_else(tmp_path):
    """Without a look at the directories behind, five planes and their tags would be read as eight."""
    stack = RNG.integers(0, 65536, (5, 24, 20)).astype("u2")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(stack, metadata=None, description="ImageJ=1.11a\nimages=8\nslices=8\n", contiguous=True)
        file.write(np.zeros((200, 200), "u2"), metadata=None)
    with pytest.raises(UnreadableError, match="promise 8 planes"):
        inspect(tmp_path / "a.tif")


def test_imagej_planes_in_one_piece_behind_one_directory(tmp_path):
    """As ImageJ writes stacks of more than 4 GB."""
    description = "ImageJ=1.11a\nimages=6\nslices=6\n"
    tifffile.imwrite(tmp_path / "a.tif", STACK[:1], metadata=None, description=description, byteorder=">")
    with (tmp_path / "a.tif").open("ab") as file:
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            page = tiff.pages[0]
            file.truncate(page.dataoffsets[0] + page.nbytes)
        file.write(STACK[1:].astype(">u2").tobytes())
    image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 0], STACK)
    assert info.axes == "ZYXC"
    with (tmp_path / "a.tif").open("ab") as file:
        file.truncate(file.tell() - 1)
    with pytest.raises(UnreadableError, match="promise 6 planes, the file holds 5"):
        inspect(tmp_path / "a.tif")


def test_pages_whose_strips_do_not_follow_each_other(tmp_path):
    """tifffile's short way of reading takes it from the first page that they do."""
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata=None, rowsperstrip=8, photometric="minisblack")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[3]
        starts, count = list(page.dataoffsets), page.databytecounts[0]
        strips = [bytes(data[start : start + count]) for start in starts]
        tag = page.aspage().tags["StripOffsets"]
    for start, strip in zip(starts, reversed(strips)):
        data[start : start + count] = strip
    data[tag.valueoffset : tag.valueoffset + 12] = struct.pack("<3I", *reversed(starts))
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read(inspect(tmp_path / "a.tif", "ZYX")[0])[..., 0], STACK)
    np.testing.assert_array_equal(read(inspect(tmp_path / "a.tif", "TYX")[0], 3)[..., 0], STACK[3])


# What is left out


def test_reduced_copies_are_left_out_and_said(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(STACK, metadata={"axes": "ZYX"}, subifds=2)
        file.write(STACK[:, ::2, ::2], subfiletype=1)
        file.write(STACK[:, ::4, ::4], subfiletype=1)
    image = inspect(path)
    assert len(image) == 1
    np.testing.assert_array_equal(read(image[0])[..., 0], STACK)
    assert image[0].notes == ("12 smaller copies, masks, labels or thumbnails are left out",)

    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(GREY16, metadata=None, tile=(16, 16))
        file.write(GREY16[::2, ::2], metadata=None, subfiletype=1)
        file.write(GREY16 + 1, metadata=None, subfiletype=1)  # of the same size, and yet a copy
        file.write(GREY16 > 9, metadata=None, subfiletype=4)  # a mask
    (one,) = inspect(tmp_path / "b.tif")
    np.testing.assert_array_equal(read(one)[..., 0], GREY16)
    assert len(one.notes) == 1
    assert "left out" in one.notes[0]

    with tifffile.TiffWriter(tmp_path / "d.tif") as file:
        file.write(GREY8, metadata=None)
        file.write(GREY8, metadata=None)
        file.write(GREY8 > 9, metadata=None)
    for page, alike in ((2, 2), (1, 1)):  # of another type, and of the same
        with tifffile.TiffFile(tmp_path / "d.tif", mode="r+") as file:
            file.pages[page].tags["PhotometricInterpretation"].overwrite(4)  # a mask, without a word of NewSubfileType
        image, *_ = inspect(tmp_path / "d.tif", axes="TYX" if alike == 2 else None)
        np.testing.assert_array_equal(read(image, alike - 1)[..., 0], GREY8)
        assert image.layout.number == alike
        assert image.notes == (f"{3 - alike} smaller copies, masks, labels or thumbnails are left out",)

    tifffile.imwrite(tmp_path / "c.tif", GREY16, metadata=None, subfiletype=1)
    with pytest.raises(DataError, match="reduced copies"):
        inspect(tmp_path / "c.tif")


def test_labels_and_overviews_of_slides_are_left_out_and_said(tmp_path):
    document(
        ("slide", TWO, tiffdata({"IFD": 0, "PlaneCount": 2})),
        ("label image", ONE, tiffdata({"IFD": 2})),
        ("macro image", ONE, tiffdata({"IFD": 3})),
        path=tmp_path / "a.ome.tif",
    )
    (one,) = inspect(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(read(one)[..., 0], STACK[:2])
    assert "2 smaller copies, masks, labels or thumbnails are left out" in one.notes
    document(("label", ONE, tiffdata({"IFD": 2})), path=tmp_path / "b.ome.tif")  # a mask may have this name
    assert len(inspect(tmp_path / "b.ome.tif")) == 1


def test_tiles_of_a_slide_as_scanners_write_them(tmp_path):
    slide = RNG.integers(0, 256, (512, 480, 3)).astype("u1")
    text = "Aperio Image Library v11.2.1\n480x512 (240x240) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as file:
        options = {"photometric": "rgb", "metadata": None, "compression": "zlib"}
        file.write(slide, tile=(240, 240), description=text, **options)
        file.write(slide[::4, ::4], rowsperstrip=16, description=text + "|thumbnail", **options)
        file.write(slide[::2, ::2], tile=(240, 240), description=text, **options)
        file.write(slide[:64, :64], subfiletype=1, description=text + "\nlabel", **options)
        file.write(slide[:80, :64], subfiletype=9, description=text + "\nmacro", **options)
    (one,) = inspect(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(one), slide)
    assert "left out" in one.notes[0]


def test_tifffile_speaks_once(tmp_path, capfd):
    tifffile.imwrite(tmp_path / "a.tif", GREY16, metadata=None)
    change(tmp_path / "a.tif", StripByteCounts=0)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (tmp_path / "a.tif").write_bytes(data)
    for _ in range(2):
        with pytest.raises(UnreadableError, match=r"a\.tif"):
            read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


# Formats of other programs, by hand


def pages_at(start, number, tags, last=0):
    """Directories of `number` planes of STACK, each followed by its pixels; little endian."""
    parts, at = [], start
    for i in range(number):
        numbers = {256: 20, 257: 24, 258: 16, 259: 1, 262: 1, 277: 1, 278: 24, 279: 960}
        rows = {code: (4, 1, value) for code, value in numbers.items()} | tags
        size = 2 + 12 * (len(rows) + 1) + 4
        rows[273] = 4, 1, at + size
        entries = b"".join(struct.pack("<HHII", code, *row) for code, row in sorted(rows.items()))
        after = at + size + 960 if i + 1 < number else last
        parts += [struct.pack("<H", len(rows)), entries, struct.pack("<I", after), STACK[i].astype("<u2").tobytes()]
        at += size + 960
    return b"".join(parts)


def micro_manager(path, summary, number=5):
    """As Micro-Manager 1.4 and 2.0 write a stack: its plan is in front of the first directory."""
    text = json.dumps(summary).encode()
    head = struct.pack("<8I", 54773648, 0, 483765892, 0, 99384722, 0, 2355492, len(text)) + text
    start, tags = 8 + len(head), {51123: (2, len(text), 40)}
    path.write_bytes(struct.pack("<2sHI", b"II", 42, start) + head + pages_at(start, number, tags))


def test_micro_manager_plans(tmp_path):
    plan = {"MicroManagerVersion": "2.0", "Channels": 1, "Slices": 5, "Frames": 1, "Positions": 3}
    micro_manager(tmp_path / "a.tif", plan)
    (one,) = inspect(tmp_path / "a.tif", "ZYX")
    np.testing.assert_array_equal(read(one)[..., 0], STACK[:5])
    for axis in ("Channels", "Slices", "Frames"):
        micro_manager(tmp_path / "a.tif", plan | {"Slices": 1, axis: 8})
        with pytest.raises(UnreadableError, match="promise 8 planes, the file holds 5"):
            inspect(tmp_path / "a.tif", "ZYX")
    micro_manager(tmp_path / "a.tif", plan | {"Frames": "many", "Slices": None})
    assert len(inspect(tmp_path / "a.tif", "ZYX")) == 1


def metamorph(path, planes, held, step=1):
    """A MetaMorph stack: one directory, and as many planes as UIC2 has entries."""
    tables = [bytes(8), b"".join(struct.pack("<6I", step, 1, 2450000, i, 2450000, i) for i in range(planes))]
    tables += [struct.pack("<2I", 500, 1) * planes, bytes(8)]
    starts = [8 + 2 + 12 * 13 + 4 + sum(map(len, tables[:i])) for i in range(5)]
    tags = [
        (code, 4, 1, value)
        for code, value in ((256, 20), (257, 24), (258, 16), (259, 1), (262, 1), (277, 1), (278, 24))
    ]
    tags += [(279, 4, 1, 960), (273, 4, 1, starts[4])]
    tags += [
        (33628, 4, 1, starts[0]),
        (33629, 5, planes, starts[1]),
        (33630, 5, planes, starts[2]),
        (33631, 4, planes, starts[3]),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    pixels = STACK[:held].astype("<u2").tobytes()
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, 13) + entries + bytes(4) + b"".join(tables) + pixels)


def test_metamorph_stacks(tmp_path):
    metamorph(tmp_path / "a.tif", 5, 5)
    image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 0], STACK[:5])
    assert info.axes == "ZYXC"
    metamorph(tmp_path / "a.tif", 6, 5)
    with pytest.raises(UnreadableError, match="promise 6 planes, the file holds 5"):
        inspect(tmp_path / "a.tif")


def zeiss(path, planes, held):
    """A Zeiss LSM stack: each plane and then its thumbnail, and what is known of them in a tag of the first."""
    info = struct.pack(
        "<Ii5iiii6d2HI4Id8I", 67127628, 192, 20, 24, planes, 1, 1, 2, 10, 12, 2e-7, 2e-7, 6e-7, 0, 0, 0, *(0,) * 16
    )
    info += bytes(192 - len(info))
    parts, at = [struct.pack("<2sHI", b"II", 42, 8 + len(info)), info], 8 + len(info)
    for i in range(2 * held):
        thumbnail = i % 2
        pixels = STACK[i // 2, ::2, ::2] if thumbnail else STACK[i // 2]
        rows, columns = pixels.shape
        numbers = {
            254: thumbnail,
            256: columns,
            257: rows,
            258: 16,
            259: 1,
            262: 1,
            277: 1,
            278: rows,
            279: 2 * pixels.size,
        }
        tags = {code: (4, 1, value) for code, value in numbers.items()} | ({34412: (1, len(info), 8)} if i == 0 else {})
        size = 2 + 12 * (len(tags) + 1) + 4
        tags[273] = 4, 1, at + size
        after = at + size + 2 * pixels.size
        entries = b"".join(struct.pack("<HHII", code, *tag) for code, tag in sorted(tags.items()))
        following = struct.pack("<I", after if i + 1 < 2 * held else 0)
        parts += [struct.pack("<H", len(tags)), entries, following, pixels.astype("<u2").tobytes()]
        at = after
    path.write_bytes(b"".join(parts))


def test_zeiss_stacks(tmp_path):
    zeiss(tmp_path / "a.tif", 5, 5)
    with pytest.warns(UserWarning, match="thumbnails are left out"):
        image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 0], STACK[:5])
    assert (info.axes, info.unit) == ("ZYXC", "µm")
    assert info.pixel_size == pytest.approx({"Z": 0.6, "Y": 0.2, "X": 0.2})
    zeiss(tmp_path / "a.tif", 6, 5)
    with pytest.raises(UnreadableError, match="promise 6 planes, the file holds 5"):
        inspect(tmp_path / "a.tif")
