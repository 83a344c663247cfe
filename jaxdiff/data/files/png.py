"""PNG in: grey, grey with alpha, RGB and RGBA of 8 or 16 bits; palettes as numbers.

Chunks are walked here: each is whole and has its checksum, the end is there, and the pixels promised are what the
compressed bytes can hold. A decoder sees the header and the pixels, and none of the other chunks.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

import imagecodecs
import numpy as np

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.axes import layout
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.regular_file import guarded, open_regular
from jaxdiff.terminal import one_line

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; 3 is a palette
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_DEFLATE = 1032  # bytes that one byte can become
_CHUNK = 2**30  # bytes of a chunk, of which decoders know at most 2^31 - 1
_PIECE = 2**20  # bytes that are decompressed at a time to be counted


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    rows: int
    """Bytes of all rows before compression."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Png:
    """Reader of PNG (`jaxdiff.data.files.readers.Reader`)."""

    suffixes: ClassVar[tuple[str, ...]] = (".png",)

    def inspect(self, path: Path, axes: str | None) -> list[ImageFile]:
        return inspect_png(path, axes)

    def read(self, image: ImageFile, index: int, scratch: Path | None) -> np.ndarray:
        return read_png(image)


def inspect_png(path: Path, axes: str | None = None) -> list[ImageFile]:
    """The one image of a PNG file, from its chunks. PNG has no pixel size that microscopes fill in: it is unknown.

    Raises UnreadableError for a file that is not a whole PNG, DataError for axes other than those of a picture.
    """
    with open_regular(path) as file, guarded(path, "PNG"):
        head = _header(path, file)
    samples = _SAMPLES[head.colour]
    shape, letters = ((head.height, head.width), "YX") if samples == 1 else ((head.height, head.width, samples), "YXS")
    dtype = "uint16" if head.depth == 16 else "bool" if head.depth == 1 and head.colour == 0 else "uint8"
    place = layout(str(path), letters, shape, axes)
    return [ImageFile(path, 0, place, dtype, notes=head.notes, palette=head.colour == 3)]


def read_png(image: ImageFile) -> np.ndarray:
    """The pixels (Y, X, C); those of a palette image are its indices. Raises UnreadableError for a damaged file."""
    path = image.path
    with open_regular(path) as file, guarded(path, "PNG"):
        head = _header(path, file)
        array = imagecodecs.png_decode(_decodable(path, file, head))
        if head.colour in (0, 3) and head.depth < 8:
            array = array // (255 // (2**head.depth - 1))  # the file's own numbers, as of a TIFF
    return image.layout.images(array.astype(image.dtype))[0]


def _header(path: Path, file: BinaryIO) -> _Header:
    """What the chunks say, from their heads."""
    stored, kinds, head = 0, [], b""
    for kind, length, start in _chunks(path, file):
        kinds.append(kind)
        if kind == b"IHDR":
            file.seek(start)
            head = file.read(13)
        stored += length if kind == b"IDAT" else 0
    after = os.fstat(file.fileno()).st_size - file.tell()
    width, height, depth, colour, method, filtering, interlaced = struct.unpack(">IIBBBBB", head)
    if not width or not height or depth not in _DEPTHS.get(colour, ()) or method or filtering or interlaced > 1:
        raise _unreadable(path, f"a header of {width} x {height} pixels, {depth} bits, colour type {colour}")
    rows = _bytes(width, height, _SAMPLES[colour] * depth, interlaced)
    if rows > _DEFLATE * stored:
        raise _unreadable(path, f"{rows} bytes of pixels are promised, {stored} compressed ones are there")
    notes = []
    if b"fcTL" in kinds:
        notes.append(f"an animation: {max(0, kinds.count(b'fcTL') - 1)} more pictures are left out")
    if b"tRNS" in kinds:
        notes.append("transparency is left out")
    if colour in (4, 6):
        notes.append("transparency is read as a channel")
    if after:
        notes.append("bytes after the end of the picture are left out")
    return _Header(width, height, depth=depth, colour=colour, rows=rows, notes=tuple(notes))


def _bytes(width: int, height: int, bits: int, interlaced: int) -> int:
    """Bytes of the rows, each with that of its filter; of an interlaced picture those of the seven passes (Adam7)."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    total = 0
    for x, y, across, down in passes if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return total


def _decodable(path: Path, file: BinaryIO, head: _Header) -> bytes:
    """The chunks that pixels are made of; a palette picture becomes the grey one of its indices.

    Bytes after the end of the pixels are left out, and a warning says so. Raises UnreadableError where the checksum of any
    chunk or of the pixels does not fit, and where these are not as many bytes as promised: decoders fill them up with zeros.
    """
    pixels, decoded, compressed, fed, first = zlib.decompressobj(), 0, bytearray(), 0, b""
    for kind, length, start in _chunks(path, file):
        file.seek(start - 4)
        body, checksum = file.read(length + 4), file.read(4)
        if len(checksum) < 4 or zlib.crc32(body) != int.from_bytes(checksum, "big"):
            raise _unreadable(path, f"the checksum of its {kind.decode('latin-1')} chunk does not fit")
        if kind == b"IHDR" and head.colour == 3:
            body = body[:13] + b"\0" + body[14:]
        if kind == b"IHDR":
            first = body
        rest = body[4:] if kind == b"IDAT" else b""
        compressed += rest
        fed += 0 if pixels.eof else len(rest)
        while rest and not pixels.eof and decoded <= head.rows:
            decoded += len(pixels.decompress(rest, _PIECE))
            rest = pixels.unconsumed_tail
    while not pixels.eof and decoded <= head.rows and (more := pixels.decompress(b"", _PIECE)):
        decoded += len(more)
    if decoded != head.rows or not pixels.eof:
        raise _unreadable(path, f"{head.rows} bytes of pixels are promised, {decoded} are there")
    if extra := len(compressed) - fed + len(pixels.unused_data):
        warnings.warn(one_line(f"{path}: {extra} bytes after the end of its pixels are left out"), stacklevel=3)
        del compressed[-extra:]
    pieces = (b"IDAT" + compressed[start : start + _CHUNK] for start in range(0, len(compressed), _CHUNK))
    bodies = (first, *pieces, b"IEND")
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in bodies
    )


def _chunks(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, length and start of each chunk up to the end, where the file then stands.

    Raises UnreadableError where one reaches beyond the file, and where header, pixels or end are not in their places.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        raise _unreadable(path, "no PNG header")
    at, before, pixels = 8, b"", False
    while before != b"IEND":
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise _unreadable(path, "its end is missing")
        length, kind = struct.unpack(">I4s", head)
        if at + 12 + length > size:
            raise _unreadable(path, "its end is missing")
        if not kind.isalpha() or (kind == b"IHDR") != (at == 8) or (kind == b"IHDR" and length != 13):
            raise _unreadable(path, "its chunks are damaged")
        if kind == b"IDAT" and pixels and before != b"IDAT":
            raise _unreadable(path, "its pixels are in pieces")
        pixels |= kind == b"IDAT"
        yield kind, length, at + 8
        at, before = at + 12 + length, kind
    if not pixels:
        raise _unreadable(path, "it holds no pixels")
    file.seek(at)


def _unreadable(path: Path, reason: str) -> UnreadableError:
    return UnreadableError(
        f"{path}, which cannot be read ({reason})",
        "a whole PNG file",
        "copy it again or remove it",
    )
