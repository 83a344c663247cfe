"""A walk over the directories of a TIFF file, before any library allocates or follows what they say.

A file is a chain of directories of tags (TIFF 6.0, 1992; BigTIFF). Whatever a tag claims is held against the bytes that are
there: directories lie inside the file, none is met twice and together they are no longer than it; values and pixels lie
inside it; and pixels are no more than its compression can make of their bytes.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxdiff.data.files.tiff_pages import (
    BITS,
    COLOUR_MAP,
    COMPRESSION,
    DESCRIPTION,
    EXTRA_SAMPLES,
    FORMAT,
    LENGTH,
    ONE_NUMBER,
    SAMPLES,
    SUBIFDS,
    TILE_DEPTH,
    TILE_LENGTH,
    TILE_WIDTH,
    WIDTH,
    Page,
    Pages,
    damaged,
)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST = {1: 1, 2: 2**16, 3: 2**16, 4: 2**16, 5: 1400, 8: 1100, 32946: 1100, 32773: 64, 50000: 2**15}
_MOST_OF_OTHERS = 2**14
"""Pixels' bytes for one stored byte. Deflate: 1032; LZW: strings of up to 3838 bytes for 12 bits; Zstandard: blocks
of 128 KiB; others: what blank images come to."""
_SLACK = 2**26  # a small file may hold a blank image of this size, whatever its compression
_TAGS = 4096
_EMPTY = 16  # pages without any tag, as electron microscopes write at the end
_LSM = 34412
_STARTS, _COUNTS = (324, 273, 513), (325, 279, 514)  # tiles, strips, old JPEG


def read_pages(path: Path, file: BinaryIO, size: int) -> Pages:
    """The pages of an open TIFF of `size` bytes. Raises UnreadableError for one that promises what it cannot hold."""
    return _Walk(path, file, size).pages()


class _Walk:
    """One pass over the directories of a file."""

    def __init__(self, path: Path, file: BinaryIO, size: int):
        self.path, self.file, self.size = path, file, size
        self.seen: set[int] = set()
        self.of_directories = self.of_values = 0
        self.first: dict[int, tuple[int, int, bytes]] = {}

    def pages(self) -> Pages:
        head = self._bytes(0, min(16, self.size))
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise damaged(self.path, "no TIFF header")
        self.order = order
        version = struct.unpack(order + "H", head[2:4])[0]
        if version == 43 and head[4:8] == struct.pack(order + "HH", 8, 0) and len(head) == 16:
            self.number, self.entry, self.offset, self.inline = "Q", "HHQ8s", "Q", 8
            at = struct.unpack(order + "Q", head[8:16])[0]
        elif version == 42:
            self.number, self.entry, self.offset, self.inline = "H", "HHI4s", "I", 4
            at = struct.unpack(order + "I", head[4:8])[0]
        else:
            raise damaged(self.path, f"TIFF of version {version}")
        chain, below, empty = [], {}, 0
        while at:
            page, at = self._page(at)
            chain.append(page)
            empty += not page.tags
            if empty > _EMPTY or (page.tags and (WIDTH not in page.tags or not max(page.bits))):
                raise damaged(self.path, f"a page without an image at {page.offset}")
        if not chain or not chain[0].tags:  # none, as where a header is followed by zeros
            raise damaged(self.path, "it holds no image")
        for page in chain:
            for offset in page.subifds:
                if offset:  # 0: not written
                    below[offset] = self._page(offset)[0]
        pages = (*chain, *below.values())
        self._bounded(pages)
        return Pages(
            self.path,
            self.size,
            byteorder=self.order,
            chain=tuple(chain),
            below=below,
            description=self._text(DESCRIPTION),
            colours=self._colours(),
            private=frozenset(self.first),
        )

    def _bytes(self, start: int, number: int) -> bytes:
        if start + number > self.size:
            raise damaged(self.path, f"{number} bytes at {start} are said to be in its {self.size}")
        self.file.seek(start)
        data = self.file.read(number)
        if len(data) != number:
            raise damaged(self.path, "it became shorter while it was read")
        return data

    def _page(self, at: int) -> tuple[Page, int]:
        """The page at an offset, and the offset of the next."""
        if at in self.seen:
            raise damaged(self.path, f"its chain of pages comes back to the one at {at}")
        self.seen.add(at)
        width = struct.calcsize(self.order + self.number)
        count = struct.unpack(self.order + self.number, self._bytes(at, width))[0]
        each, last = struct.calcsize(self.order + self.entry), struct.calcsize(self.order + self.offset)
        if count > _TAGS:
            raise damaged(self.path, f"a page with {count} tags")
        self.of_directories += width + count * each + last
        if self.of_directories > self.size:
            raise damaged(self.path, "its pages overlap")
        body = self._bytes(at + width, count * each + last)
        tags = {}
        for code, kind, number, value in struct.iter_unpack(self.order + self.entry, body[: count * each]):
            length = _SIZES.get(kind, 0) * number
            if length > self.inline:
                start = struct.unpack(self.order + self.offset, value)[0]
                if start + length > self.size:
                    raise damaged(self.path, f"tag {code} is said to lie beyond the file's {self.size} bytes")
                self.of_values += length
            tags.setdefault(code, (kind, number, value))
        if self.of_values > 2 * self.size + 2**16:
            raise damaged(self.path, "the values of its tags are more than its bytes")
        self.first = self.first or tags
        following = struct.unpack(self.order + self.offset, body[count * each :])[0]
        return self._read(at, tags), following

    def _read(self, at: int, tags: dict[int, tuple[int, int, bytes]]) -> Page:
        def values(*codes: int) -> Sequence[int]:
            for code in codes:
                if code in tags:
                    return self._values(tags[code])
            return ()

        one = {code: int(got[0]) for code in ONE_NUMBER if code in tags and len(got := self._values(tags[code]))}
        samples = max(1, one.get(SAMPLES, 1))
        bits = tuple(values(BITS)[:samples]) or (8 if one.get(COMPRESSION) == 6 else 1,)
        form = tuple(values(FORMAT)[:samples]) or (1,)
        starts, counts = values(*_STARTS), values(*_COUNTS)
        if len(starts) == 1 and not len(counts) and one.get(COMPRESSION, 1) == 1:  # may be left out of old files
            counts = (one.get(WIDTH, 0) * samples * bits[0] // 8 * one.get(LENGTH, 0),)
        if len(starts) == 1 and len(counts) == 1:
            stored, end, one_piece = int(counts[0]), int(starts[0]) + int(counts[0]), True
            unwritten = int(not stored)
        else:
            first, each = np.asarray(starts, np.uint64), np.asarray(counts, np.uint64)
            number, top = min(len(first), len(each)), np.uint64(2**62)  # sums of less do not overflow
            end = int((np.minimum(first[:number], top) + np.minimum(each[:number], top)).max(initial=0))
            stored = sum(each.tolist()) if len(each) and each.max() > 2**40 else int(each.sum())
            one_piece = len(first) == len(each) and bool((first[:-1] + each[:-1] == first[1:]).all())
            unwritten = int(np.count_nonzero(each == 0))
        extra, below = tuple(values(EXTRA_SAMPLES)), tuple(map(int, values(SUBIFDS)))
        return Page(
            at,
            one,
            bits=_same(bits),
            format=_same(form),
            extra=extra,
            subifds=below,
            starts=starts,
            counts=counts,
            stored=stored,
            end=end,
            one_piece=one_piece,
            unwritten=unwritten,
        )

    def _values(self, tag: tuple[int, int, bytes]) -> Sequence[int]:
        """The whole numbers of a tag; none where it holds others."""
        kind, number, value = tag
        if kind not in _WHOLE:
            return ()
        if number == 1:
            return struct.unpack_from(self.order + _LETTERS[kind], value)
        values = np.frombuffer(self._raw(tag), self.order + _WHOLE[kind], number)
        return tuple(values.tolist()) if number < 16 else values  # pyright: ignore[reportReturnType]

    def _raw(self, tag: tuple[int, int, bytes]) -> bytes:
        kind, number, value = tag
        length = _SIZES.get(kind, 0) * number
        return (
            value[:length]
            if length <= self.inline
            else self._bytes(struct.unpack(self.order + self.offset, value)[0], length)
        )

    def _text(self, code: int) -> str:
        data = self._raw(self.first[code]).split(b"\0", 1)[0] if code in self.first else b""
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")

    def _colours(self) -> np.ndarray | None:
        if COLOUR_MAP not in self.first:
            return None
        values = self._values(self.first[COLOUR_MAP])
        return np.reshape(values, (3, -1)) if len(values) and len(values) % 3 == 0 else None

    def _bounded(self, pages: tuple[Page, ...]) -> None:
        """Pixels lie inside the file, and are no more than their bytes can be decoded to."""
        packed = any(page.tag(COMPRESSION, 1) != 1 for page in pages)
        if _LSM in self.first:  # counts bytes before compression, and wraps offsets at 4 GB
            most = max(map(_most, pages)) * self.size
            self._possible(sum(page.bytes for page in pages), most, self.size, packed)
            return
        for page in pages:
            if page.end > self.size:
                raise damaged(self.path, f"pixels are said to lie beyond the file's {self.size} bytes")
            if math.prod(page.size) and len(page.counts) and not page.stored:
                raise damaged(self.path, f"the pixels of the page at {page.offset} were never written")
            if page.unwritten and page.stored and TILE_WIDTH not in page.tags:  # slides have tiles of glass left out
                raise damaged(self.path, f"{page.unwritten} of its {len(page.counts)} strips were never written")
            tile = (page.tag(TILE_WIDTH) * page.samples * max(page.bits) // 8) * page.tag(TILE_LENGTH)
            pixels = max(page.bytes, tile * page.tag(TILE_DEPTH, 1))
            self._possible(pixels, _most(page) * page.stored, page.stored, page.tag(COMPRESSION, 1) != 1)
        pixels, stored = sum(page.bytes for page in pages), sum(page.stored for page in pages)
        most = sum(_most(page) * page.stored for page in pages)
        if stored > self.size:  # some bytes are pixels of several places: they count once
            starts = np.concatenate([np.asarray(page.starts[: len(page.counts)], np.uint64) for page in pages])
            counts = np.concatenate([np.asarray(page.counts[: len(page.starts)], np.uint64) for page in pages])
            stored = int(counts[np.unique(starts, return_index=True)[1]].sum(dtype=np.uint64))
            most = max(map(_most, pages)) * stored
        self._possible(pixels, most, stored, packed)

    def _possible(self, pixels: int, most: int, stored: int, packed: bool) -> None:
        if pixels > most + (_SLACK if packed else 0):
            raise damaged(self.path, f"{pixels} bytes of pixels are promised, {stored} are there")


def _most(page: Page) -> int:
    """Bytes of pixels that one stored byte can become."""
    return _MOST.get(page.tag(COMPRESSION, 1), _MOST_OF_OTHERS)


def _same(values: tuple[int, ...]) -> tuple[int, ...]:
    """One value where all are the same."""
    return values[:1] if len(set(values)) == 1 else values
