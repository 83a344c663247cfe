"""Chunks of PNG files: what is missing, damaged, promised and not there, or beside the picture."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from soon import within

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.read import inspect, read, read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (64, 48)).astype("u1")
RGB = RNG.integers(0, 256, (64, 48, 3)).astype("u1")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width=48, height=64, depth=8, colour=0, interlaced=0, method=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, method, 0, interlaced))


def rows(array):
    """Bytes of the rows of an array, without filters."""
    stored = array.astype(">u2") if array.dtype == np.uint16 else array
    return b"".join(b"\0" + row.tobytes() for row in stored)


PIXELS = chunk(b"IDAT", zlib.compress(rows(GREY)))
END = chunk(b"IEND")


def write(path, *parts):
    path.write_bytes(SIGNATURE + b"".join(parts))
    return path


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "png", **options)
    return file.getvalue()


GREY16, RGB16 = GREY.astype("u2") * 257, RGB.astype("u2") * 251
FILES = {
    "grey": (saved(Image.fromarray(GREY)), GREY[..., None]),
    "grey 16": (SIGNATURE + header(depth=16) + chunk(b"IDAT", zlib.compress(rows(GREY16))) + END, GREY16[..., None]),
    "rgb": (saved(Image.fromarray(RGB)), RGB),
    "rgba": (saved(Image.fromarray(np.dstack([RGB, GREY]))), np.dstack([RGB, GREY])),
    "rgb 16": (SIGNATURE + header(colour=2, depth=16) + chunk(b"IDAT", zlib.compress(rows(RGB16))) + END, RGB16),
    "grey alpha": (saved(Image.fromarray(np.dstack([GREY, GREY // 2]))), np.dstack([GREY, GREY // 2])),
    "palette": (saved(Image.fromarray(GREY).convert("P")), GREY[..., None]),
}


@pytest.mark.parametrize("name", FILES)
def test_no_png_with_a_changed_byte_is_read_as_another_picture(name, tmp_path):
    data, expected = FILES[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(read(inspect(path)[0]), expected)
    refused = 0
    for at in [*range(8, 60), *RNG.integers(60, len(data), 60).tolist(), *range(len(data) - 16, len(data))]:
        for change in (bytes([data[at] ^ 1 << at % 8]), bytes(200)):
            path.write_bytes(data[:at] + change[: len(data) - at] + data[at + len(change) :])
            if path.read_bytes() == data:
                continue
            with pytest.raises(UnreadableError, match=r"a\.png"):
                read(inspect(path)[0])
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("colour", [0, 3])
def test_every_depth_gives_the_file_s_own_numbers(colour, tmp_path):
    for depth in (1, 2, 4, 8):
        values = RNG.integers(0, 2**depth, (64, 48)).astype("u1")
        bits = ((values[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(64, -1)
        data = chunk(b"IDAT", zlib.compress(rows(np.packbits(bits, axis=1))))
        palette = chunk(b"PLTE", bytes(range(3 * 2**depth % 256)) or bytes(768))
        write(tmp_path / "a.png", header(depth=depth, colour=colour), *([palette] if colour else []), data, END)
        image = read(inspect(tmp_path / "a.png")[0])
        np.testing.assert_array_equal(image[..., 0], values)
        assert image.dtype == (bool if depth == 1 and colour == 0 else np.uint8)


def test_interlaced_pictures(tmp_path):
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    for array, options in ((GREY, {}), (RGB.astype("u2") * 200, {"colour": 2, "depth": 16})):
        data = b"".join(rows(array[y::dy, x::dx]) for y, x, dy, dx in passes)
        write(tmp_path / "a.png", header(interlaced=1, **options), chunk(b"IDAT", zlib.compress(data)), END)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], array.reshape(64, 48, -1))


def test_pixels_in_many_chunks_and_other_chunks_between(tmp_path):
    data = zlib.compress(rows(GREY))
    parts = [chunk(b"IDAT", data[i : i + 100]) for i in range(0, len(data), 100)]
    write(tmp_path / "a.png", header(), chunk(b"gAMA", struct.pack(">I", 45455)), *parts, chunk(b"tEXt", b"a\0b"), END)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0][..., 0], GREY)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (END,),
        (header(),),
        (header(), END),
        (header(), PIXELS),
        (PIXELS, header(), END),
        (header(), header(), PIXELS, END),
        (header(), PIXELS, chunk(b"tEXt", b"a\0b"), PIXELS, END),
        (header(width=0), PIXELS, END),
        (header(depth=3), PIXELS, END),
        (header(colour=5), PIXELS, END),
        (header(colour=2, depth=4), PIXELS, END),
        (header(method=1), PIXELS, END),
        (header(interlaced=2), PIXELS, END),
        (header(height=65), PIXELS, END),
        (header(), chunk(b"IDAT", zlib.compress(rows(GREY))[:-200]), END),
        (header(), chunk(b"IDAT", b"no zlib" * 9), END),
        (header(height=63), PIXELS, END),
        (header(), chunk(b"IDAT", zlib.compress(rows(GREY))[:-1]), END),
        (header(height=65, interlaced=1), PIXELS, END),
        (header(), struct.pack(">I", 2**31) + PIXELS[4:], END),
        (header(), PIXELS[:-4] + bytes(4), END),
        (header(), chunk(b"tEXt", b"a\0b")[:-4] + bytes(4), PIXELS, END),
    ],
)
def test_pictures_that_are_none(parts, tmp_path):
    write(tmp_path / "a.png", *parts)
    with pytest.raises(UnreadableError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1)])
def test_pixels_that_the_bytes_cannot_hold(size, tmp_path):
    write(tmp_path / "a.png", header(*size), PIXELS, END)
    with within(1), pytest.raises(UnreadableError, match="promised"):
        inspect(tmp_path / "a.png")


def test_bombs_beside_the_picture_never_reach_a_decoder(tmp_path):
    bomb = zlib.compress(bytes(64 * 2**20), 1)
    texts = [chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb), chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)]
    write(tmp_path / "a.png", header(), *texts, PIXELS, END)
    with within(1):
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0][..., 0], GREY)


def test_large_pictures_are_no_bombs(tmp_path):
    size = 9_600
    line = bytes(size + 1)
    write(tmp_path / "a.png", header(size, size), chunk(b"IDAT", zlib.compress(line * size, 1)), END)
    assert read_image(tmp_path / "a.png")[0].shape == (size, size, 1)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (SIGNATURE + header() + chunk(b"tRNS", b"\0\7") + PIXELS + END, "transparency"),
        (SIGNATURE + header() + PIXELS + END + bytes(9), "after the end"),
        (
            saved(Image.fromarray(GREY), save_all=True, append_images=[Image.fromarray(GREY // 2)] * 2),
            "2 more pictures",
        ),
    ],
)
def test_what_is_left_out_is_said(data, word, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.warns(UserWarning, match=word):
        image, _ = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image[..., 0], GREY)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_bytes_after_the_pixels_are_said_in_our_words(chunks, tmp_path, capfd, caplog):
    """libpng says "IDAT: Extra compressed data" in a line of imagecodecs."""
    stream = zlib.compress(rows(GREY)) + b"secret"
    ends = {1: (), 2: (len(stream) - 6,), 3: (100, len(stream) - 2)}[chunks]
    parts = [stream[a:b] for a, b in zip((0, *ends), (*ends, None))]
    path = write(tmp_path / "a.png", header(), *(chunk(b"IDAT", part) for part in parts), END)
    with pytest.warns(UserWarning, match=r"a\.png: 6 bytes after the end of its pixels are left out"):
        image, _ = read_image(path)
    np.testing.assert_array_equal(image[..., 0], GREY)
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
