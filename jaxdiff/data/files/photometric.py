"""What the numbers of a TIFF's pixels mean: light, or something that is not to be taken for light (TIFF 6.0, section 8)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.tiff_pages import COMPRESSION, ORIENTATION, PHOTOMETRIC, TRANSPARENCY, Page

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_OTHERS = {
    TRANSPARENCY: "a transparency mask",
    5: "CMYK or other inks",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "a colour filter array (raw camera)",
    32844: "log luminance",
    32845: "log luminance",
    34892: "linear raw camera values",
    51177: "depth",
}
_FAX = (2, 3, 4)
_AS_RGB = (6, 7, 34892, 33007)
"""JPEG, whose decoder turns YCbCr into RGB."""
_TURNED = (50001, 34933, 34934, 34927, 50002, 52546)
"""Codecs that give colours as they were before compression, whatever the tag says of those inside."""


@dataclass(frozen=True)
class Meaning:
    """How to take the numbers of a page."""

    highest: int | None = None
    """Of the white-is-zero pixels, the number of black: light is this minus the number."""
    palette: bool = False
    """Numbers of colours, good for labels alone."""
    channels: bool = False
    """Whether several values of a pixel are channels, and not the red, green and blue of one."""
    notes: tuple[str, ...] = ()


def meaning(where: str | Path, page: Page, dtype: np.dtype, colours: np.ndarray | None) -> Meaning:
    """What the pixels of a page are; `dtype` is what they are decoded to, `colours` (3, entries) the palette.

    Raises UnreadableError, naming the interpretation, for pixels that are no light: inks, L*a*b*, raw cameras, chroma.
    """
    if len(page.bits) > 1 or len(page.format) > 1:
        raise UnreadableError(
            f"{where} with samples of {page.bits} bits and formats {page.format}",
            "samples of one kind",
            "save it as 16-bit RGB",
        )
    if dtype.kind == "c":
        raise UnreadableError(
            f"{where} with complex pixels", "integers or floats", "save the magnitude, and the phase beside it"
        )
    if dtype.kind not in "uifb":
        kind = f"{max(page.bits)} bits of format {max(page.format)}" if dtype.kind == "V" else f"type {dtype}"
        raise UnreadableError(f"{where} with pixels of {kind}", "integers or floats", "convert the file")
    result = _meaning(where, page, dtype, colours)
    return replace(result, notes=(*result.notes, *_also(page)))


def _also(page: Page) -> Iterator[str]:
    """What else the tags say that a person should know."""
    turned = page.tag(ORIENTATION, 1)
    if turned not in (0, 1):
        yield f"its rows are stored turned or mirrored (orientation {turned}), and are read as they are stored"
    if 1 in page.extra or 2 in page.extra:
        yield "transparency is read as a channel" + (", and colours are multiplied by it" if 1 in page.extra else "")


def _meaning(where: str | Path, page: Page, dtype: np.dtype, colours: np.ndarray | None) -> Meaning:
    compression, tag = page.tag(COMPRESSION, 1), page.tags.get(PHOTOMETRIC)
    interpretation = tag
    if tag is None:
        fax = compression in _FAX
        interpretation = _RGB if page.samples - len(page.extra) >= 3 else _WHITE_IS_ZERO if fax else _BLACK_IS_ZERO
    match interpretation:
        case 1:
            return Meaning(channels=page.samples > 1)
        case 2:
            return Meaning()
        case 0:
            return _inverted(where, page, dtype)
        case 3:
            return _of_palette(colours)
        case 6 if compression in _AS_RGB or compression in _TURNED:
            return Meaning()
        case 6:
            raise _refused(where, "YCbCr (luma and chroma)")
    raise _refused(where, _OTHERS.get(interpretation or 0, "an interpretation not known here"), interpretation)


def _refused(where: str | Path, name: str, code: int | None = _YCBCR) -> UnreadableError:
    return UnreadableError(
        f"{where} whose pixels are {name} (photometric interpretation {code})",
        "grey levels or RGB",
        "save it as grey or RGB",
    )


def _inverted(where: str | Path, page: Page, dtype: np.dtype) -> Meaning:
    if dtype.kind == "b":  # no light: tools that write bits say so without a thought, and read them as they are stored
        return Meaning(channels=page.samples > 1)
    if dtype.kind != "u":
        raise UnreadableError(
            f"{where} of {dtype} pixels where white is zero",
            "an end of the scale to invert them",
            "save it with black as zero",
        )
    return Meaning(
        (1 << page.bits[0]) - 1,
        channels=page.samples > 1,
        notes=("white is zero in the file: its grey levels were inverted",),
    )


def _of_palette(colours: np.ndarray | None) -> Meaning:
    """A palette of one hue that rises evenly is a look-up table of grey levels, as ImageJ writes them."""
    if colours is None:
        return Meaning(palette=True)
    table = colours.astype(np.float64)
    ramp = np.linspace(0.0, 1.0, table.shape[1])
    even = all(np.abs(one - one[-1] * ramp).max() <= 0.01 * table.max() for one in table)
    if len(ramp) >= 16 and even and table[:, -1].max() == table.max() > 0:
        return Meaning(notes=("the colours of its look-up table are left out, its numbers are taken as grey levels",))
    return Meaning(palette=True)
