"""The size of a picture by the head of its own code (JPEG, JPEG 2000, JPEG XL, WebP, PNG), before a codec allocates it."""

import struct

HEAD = 4096
"""Bytes in which the size is found, as a rule."""

_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JXL_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def said_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a coded picture; None where its code is another, or the size is not in these bytes."""
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            columns, rows = struct.unpack(">II", data[16:24])
            return rows, columns
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:2] == b"\xff\x0a":
            return _jpeg_xl(data[2:])
        if data[4:8] == b"JXL ":
            start = data.find(b"\xff\x0a", 12)
            return _jpeg_xl(data[start + 2 :]) if start > 0 else None
        start = data.find(b"\xff\x4f\xff\x51")
        if start == 0 or (start > 0 and data[4:8] == b"jP  "):
            columns, rows, left, top = struct.unpack(">IIII", data[start + 8 : start + 24])
            return rows - top, columns - left
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF:
            return None
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _JPEG_SIZES:
            rows, columns = struct.unpack(">HH", data[at + 5 : at + 9])
            return rows, columns
        else:
            at += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    columns, rows = struct.unpack("<HH", data[26:30])
    return rows & 0x3FFF, columns & 0x3FFF


def _jpeg_xl(data: bytes) -> tuple[int, int]:
    """SizeHeader of ISO/IEC 18181-1: bits from the lowest on."""
    bits, at = int.from_bytes(data[:16], "little"), 0

    def take(number: int) -> int:
        nonlocal at
        at += number
        return bits >> (at - number) & ((1 << number) - 1)

    def side(small: int) -> int:
        return 8 * (take(5) + 1) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    rows = side(small)
    ratio = _JXL_RATIOS[take(3)]
    return rows, side(small) if ratio is None else rows * ratio[0] // ratio[1]
