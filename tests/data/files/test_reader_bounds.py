"""Files that promise more than their bytes hold, or lead elsewhere: refused by name, at once, in little memory."""

import contextlib
import os
import socket
import struct
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from soon import within

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.ome import read_ome
from jaxdiff.data.files.read import inspect, read, read_image

GREY = np.random.default_rng(0).integers(0, 65536, (24, 20)).astype("u2")


def directory(order, big, tags, following=0):
    """One directory of (code, kind, count, value), and where the next is."""
    head, entry, last = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    entries = b"".join(struct.pack(order + entry, *tag) for tag in sorted(tags))
    return struct.pack(order + head, len(tags)) + entries + struct.pack(order + last, following)


def hand_made(path, width=20, length=24, pixels=b"", big=False, compression=1, bits=16, following=0, more=(), **tags):
    """A TIFF of one strip whose tags are as they are given; little endian, pixels at the end."""
    values = {256: width, 257: length, 258: bits, 259: compression, 262: 1, 277: 1, 278: length, 279: len(pixels)}
    values |= {int(code[1:]): value for code, value in tags.items()}
    number = len(values) + 1 + len(more)
    start = 16 + 8 + 20 * number + 8 if big else 8 + 2 + 12 * number + 4
    values.setdefault(273, start)
    rows = [(code, 16 if big else 4, 1, value) for code, value in values.items()] + list(more)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    path.write_bytes(head + directory("<", big, rows, following) + pixels)


def refused(path, match, axes=None, seconds=2.0, megabytes=32):
    """Inspecting and reading end with the file's own error, soon and in little memory."""
    tracemalloc.start()
    try:
        with within(seconds), pytest.raises(UnreadableError, match=match) as error:
            read_image(path, axes)
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()
    assert path.name in str(error.value)


def test_the_hand_made_file_is_read(tmp_path):
    for big in (False, True):
        hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), big=big)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], GREY)
        hand_made(tmp_path / "a.tif", pixels=zlib.compress(GREY.tobytes()), big=big, compression=8)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], GREY)


@pytest.mark.parametrize("big", [False, True])
def test_chains_that_come_back(big, tmp_path):
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), big=big, following=16 if big else 8)
    refused(tmp_path / "a.tif", "comes back")
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), big=big, t330=16 if big else 8)  # its own SubIFD
    refused(tmp_path / "a.tif", "comes back")
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), big=big, following=10**6)
    refused(tmp_path / "a.tif", "said to be in its")


def test_directories_that_overlap_are_no_million_pages(tmp_path):
    """Each two bytes further is a directory of its own; all together would be read for ever."""
    one = struct.pack("<HHHHH", 1, 256, 3, 1, 0) * 40000
    data = struct.pack("<2sHI", b"II", 42, 8) + one
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", r"a\.tif")
    links = b"".join(struct.pack("<HI", 0, 8 + 6 * (i + 1)) for i in range(50000))  # 50,000 empty pages
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8) + links)
    refused(tmp_path / "a.tif", "without an image")


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((100_000, 100_000), {"compression": 8}),
        ((100_000, 100_000), {"compression": 5}),
        ((100_000, 100_000), {"compression": 50000}),
        ((100_000, 100_000), {"compression": 34712}),
        ((100_000, 100_000), {"compression": 7}),
        ((100_000, 100_000), {"compression": 32773}),
        ((100_000, 100_000), {"compression": 1}),
        ((100_000, 100_000), {"compression": 4, "bits": 1}),
        ((2**31, 2**31), {"compression": 8}),
        ((2**32 - 1, 2**32 - 1), {"compression": 8, "t277": 65535}),
        ((100_000, 100_000), {"compression": 5, "t34412": 8}),
        ((2000, 2400), {"compression": 1, "t34412": 8}),
        ((25, 24), {"compression": 1}),
        ((20, 24), {"compression": 1, "t277": 2}),
        ((20, 24), {"compression": 1, "t32997": 10**6}),
    ],
)
def test_pixels_that_the_bytes_cannot_hold(size, options, tmp_path):
    hand_made(
        tmp_path / "a.tif",
        *size,
        pixels=zlib.compress(GREY.tobytes()) if options["compression"] != 1 else GREY.tobytes(),
        **options,
    )
    refused(tmp_path / "a.tif", r"bytes of pixels are promised, \d+ are there")


def test_blank_images_compress_as_far_as_they_do(tmp_path):
    blank = np.zeros((1500, 1500), "u2")
    for compression in ("zlib", "lzw", "zstd", "lzma", "packbits"):
        tifffile.imwrite(tmp_path / "a.tif", blank, compression=compression)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], blank)


CODERS = {
    7: lambda a: imagecodecs.jpeg_encode(a),
    34712: lambda a: imagecodecs.jpeg2k_encode(a),
    33005: lambda a: imagecodecs.jpeg2k_encode(a, codecformat="jp2"),
    50001: lambda a: imagecodecs.webp_encode(a, lossless=True),
    50002: lambda a: imagecodecs.jpegxl_encode(a),
    52546: lambda a: imagecodecs.jpegxl_encode(a, usecontainer=True),
    34933: lambda a: imagecodecs.png_encode(a),
}


@pytest.mark.parametrize("compression", CODERS)
def test_a_code_of_a_larger_picture_never_reaches_its_codec(compression, tmp_path):
    """A blank picture of a gigabyte is a few kilobytes of code; the tags say 24 x 20."""
    options = {"compression": compression, "bits": 8, "t277": 3, "t262": 2}
    hand_made(tmp_path / "a.tif", pixels=CODERS[compression](np.zeros((24, 20, 3), "u1")), **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], np.zeros((24, 20, 3)))
    hand_made(tmp_path / "a.tif", pixels=CODERS[compression](np.zeros((300, 500, 3), "u1")), **options)
    refused(tmp_path / "a.tif", "24 x 20 pixels that is coded as 300 x 500")


def test_pages_that_share_their_bytes_hold_them_once(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(300):
            file.write(np.zeros((512, 512), "u1"), compression="zlib", metadata=None)
    inspect(tmp_path / "a.tif", "ZYX")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        where = file.pages[0].dataoffsets[0]
        tags = [page.tags["StripOffsets"] for page in file.pages]
        counts = [page.tags["StripByteCounts"] for page in file.pages]
        for tag, count in zip(tags, counts):
            tag.overwrite(where)
            count.overwrite(2000)
    data = (tmp_path / "a.tif").read_bytes()
    assert len(data) < 300 * 2000
    refused(tmp_path / "a.tif", "promised", "ZYX", seconds=5)


@pytest.mark.parametrize(
    "more",
    [
        (270, 2, 2**31, 8),
        (65000, 1, 2**32 - 1, 8),
        (273, 4, 2**30, 8),
        (65000, 12, 2**29, 2**32 - 1),
        (330, 4, 2**28, 8),
    ],
)
def test_values_beyond_the_file(more, tmp_path):
    tags = {"t273": 8} if more[0] != 273 else {}
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), more=(more,), **tags)
    refused(tmp_path / "a.tif", "beyond the file|to be in its")


def test_values_that_are_read_again_and_again(tmp_path):
    more = tuple((65000 + i, 1, 900, 8) for i in range(400))
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), more=more)
    refused(tmp_path / "a.tif", "more than its bytes")


@pytest.mark.parametrize("code", [256, 257, 258, 277, 278])
@pytest.mark.parametrize("value", [0, 2**31, 2**32 - 1])
def test_numbers_that_no_image_has(code, value, tmp_path):
    hand_made(tmp_path / "a.tif", pixels=zlib.compress(GREY.tobytes()), compression=8, **{f"t{code}": value})
    if code == 278 and value:  # rows of a strip may be more than there are
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], GREY)
    elif not (code == 277 and value == 0):  # no samples are one
        with pytest.raises(DataError, match=r"a\.tif"):
            read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("number", [1, 40, 4000])
def test_a_header_followed_by_zeros_is_damaged(number, tmp_path):
    """One directory without any tag: damage, that skip_unreadable leaves out, and no image of unknown axes."""
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8) + bytes(5 + number))
    with pytest.raises(UnreadableError, match="no image"):
        inspect(tmp_path / "a.tif")


def test_pixels_that_were_never_written(tmp_path):
    hand_made(tmp_path / "a.tif", pixels=GREY.tobytes(), compression=8, t279=0, t273=0)
    refused(tmp_path / "a.tif", "never written|promised")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(np.stack([GREY] * 3), compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+") as file:
        for name in ("StripOffsets", "StripByteCounts"):
            file.pages[2].tags[name].overwrite(0)
    refused(tmp_path / "b.tif", "never written")


def test_many_pages_of_a_few_bytes_are_bounded_together(tmp_path):
    """Each could be a blank image of 48 MB by a codec that knows no bound; a thousand of them cannot."""
    code = imagecodecs.jpegxl_encode(np.zeros((4, 4), "u1"))
    one = directory("<", False, [(256, 4, 1, 7000)] + [(0, 4, 1, 0)] * 9)
    parts, at = [struct.pack("<2sHI", b"II", 42, 8)], 8
    for i in range(300):
        values = {
            256: 7000,
            257: 7000,
            258: 8,
            259: 50002,
            262: 1,
            277: 1,
            278: 7000,
            279: len(code),
            273: at + len(one),
        }
        following = at + len(one) + len(code) if i < 299 else 0
        parts += [
            directory("<", False, [(code_, 4, 1, value) for code_, value in [*values.items(), (65000, 0)]], following),
            code,
        ]
        at = following
    (tmp_path / "a.tif").write_bytes(b"".join(parts))
    refused(tmp_path / "a.tif", "promised", "TYX")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips_and_tiles_that_were_never_written(compression, tmp_path):
    """Readers make zeros of them: of a slide that is glass, of a strip it is an image that ended early."""
    image = np.tile(GREY, (4, 4))
    for options in ({"rowsperstrip": 16}, {"tile": (16, 16)}):
        tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, metadata=None, **options)
        kind = "Tile" if "tile" in options else "Strip"
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
            for name in (f"{kind}Offsets", f"{kind}ByteCounts"):
                tag = file.pages[0].tags[name]
                tag.overwrite((*tag.value[:-2], 0, 0))
        if kind == "Strip" or compression is None:
            refused(tmp_path / "a.tif", "never written|promised")
            continue
        with pytest.warns(UserWarning, match="2 tiles were never written"):
            got, _ = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(got[:80, :, 0], image[:80])
        assert not got[80:, 64:].any()


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{10 * f"&{a};"}">' for a, b in zip("abcdefghi", "bcdefghij"))
    + "]>"
)


@pytest.mark.parametrize(
    "text",
    [
        f'<?xml version="1.0"?>{BOMB}<OME xmlns="x">&j;</OME>',
        f'<?xml version="1.0"?>{BOMB}<scn>&j;</scn>',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><OME xmlns="x">&a;</OME>',
    ],
)
def test_entities_are_refused(text, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None, description=text)
    refused(tmp_path / "a.tif", "entities")


@pytest.mark.parametrize(
    "text",
    [
        '<OME xmlns="x">' + "<a>" * 200_000 + "</a>" * 200_000 + "</OME>",
        '{"shape": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"shape": [-1, 24, 20], "axes": "ZYX"}',
        '{"shape": ["a", 24, 20], "axes": "ZYX"}',
        '{"shape": [1e30, 24, 20], "axes": "ZYX"}',
        '{"shape": null}',
        "ImageJ=1.11a\nimages=-5\nslices=x\nframes=1e9\n",
        "ImageJ=1.11a\nimages=" + "9" * 5000 + "\n",
        "SCANIMAGE.SI4.x = 1e999",
        "<OME",
    ],
)
def test_metadata_that_are_nonsense_are_the_file_s_fault(text, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None, description=text)
    with within(5), contextlib.suppress(DataError):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0][..., 0], GREY)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_what_is_no_file_is_refused_and_never_waited_for(name, tmp_path):
    path = tmp_path / name

    def check(word):
        for call in (lambda: inspect(path), lambda: read_image(path)):
            with pytest.raises(UnreadableError, match=rf"{name}, {word}"):
                call()

    os.mkfifo(path)
    check("a pipe")
    path.unlink()
    path.mkdir()
    check("a folder")
    path.rmdir()
    path.symlink_to("not_there")
    check("a link to not_there, which does not exist")
    path.unlink()
    path.symlink_to(name)
    check("which cannot be opened")
    path.unlink()
    path.symlink_to("/dev/zero")
    check("a device")
    path.unlink()
    check("which cannot be opened")
    folder = os.getcwd()
    try:
        os.chdir(tmp_path)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(name)
            check("a socket")
    finally:
        os.chdir(folder)


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("deep"), AssertionError(), OverflowError("x"), struct.error("y")]
)
def test_whatever_a_library_raises_is_the_file_s_fault(error, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (one,) = inspect(tmp_path / "a.tif")

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(tifffile.TiffPage, "asarray", fails)
    with pytest.raises(UnreadableError, match=r"a\.tif"):
        read(one)
    monkeypatch.setattr(tifffile, "TiffFile", fails)
    with pytest.raises(UnreadableError, match=r"a\.tif"):
        inspect(tmp_path / "a.tif")


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (one,) = inspect(tmp_path / "a.tif")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", full)
    with pytest.raises(OSError, match="No space left"):
        read(one)


def test_an_image_beyond_the_memory_is_refused_with_what_to_do(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (one,) = inspect(tmp_path / "a.tif")
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_PHYS_PAGES" else 512)
    with pytest.raises(UnreadableError, match=r"a\.tif.*prepare --tile"):
        read(one)
    np.testing.assert_array_equal(read(one, scratch=tmp_path / "decoded")[..., 0], GREY)


@pytest.mark.parametrize(
    ("planes", "pages", "which", "word"),
    [
        (20_000, 20_000, 'IFD="{i}" FirstZ="{i}" PlaneCount="1"/', None),
        (20_000, 20_000, 'IFD="{i}" FirstZ="{i}"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData', None),
        (
            20_000,
            20_000,
            'IFD="{j}" FirstZ="{i}"/',
            "two pages for one plane|promise 20000 planes, the file holds 19998",
        ),
        (20_000, 1, 'IFD="{i}" FirstZ="{i}" PlaneCount="1"/', "promise 20000 planes, the file holds 1"),
        (20_000, 20_000, 'PlaneCount="20000"/', "again and again"),
        (4, 4, 'IFD="0" FirstZ="0"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData', "again and again"),
    ],
)
def test_many_planes_of_metadata_take_a_time_like_their_number(planes, pages, which, word):
    data = "".join(f"<TiffData {which.format(i=i, j=max(i, 2))}>" for i in range(20_000))
    text = (
        '<?xml version="1.0"?><OME><Image ID="Image:0"><Pixels DimensionOrder="XYZCT" SizeX="8" SizeY="8" SizeC="1" '
        f'SizeT="1" SizeZ="{planes}" Type="uint8">{data}</Pixels></Image></OME>'
    )
    if word is None:
        with within(5):
            (image,) = read_ome(Path("a.ome.tif"), text, pages, 1).images
        np.testing.assert_array_equal(image.planes.reshape(-1), np.arange(planes))
    else:
        with within(5), pytest.raises(UnreadableError, match=word):
            read_ome(Path("a.ome.tif"), text, pages, 1)
