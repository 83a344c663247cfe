"""The pages of a TIFF file, as the tags of its directories describe them (TIFF 6.0, 1992; `tiff_walk` reads them)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import UnreadableError

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
DESCRIPTION, ORIENTATION, SAMPLES, ROWS, PLANAR, PREDICTOR, COLOUR_MAP = 270, 274, 277, 278, 284, 317, 320
TILE_WIDTH, TILE_LENGTH, SUBIFDS, EXTRA_SAMPLES, FORMAT, SUBFILE = 322, 323, 330, 338, 339, 254
_DEPTH, TILE_DEPTH = 32997, 32998
ONE_NUMBER = (SUBFILE, WIDTH, LENGTH, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES, ROWS, PLANAR, PREDICTOR)
ONE_NUMBER += (ORIENTATION, TILE_WIDTH, TILE_LENGTH, _DEPTH, TILE_DEPTH)
"""Tags that hold one number."""
TRANSPARENCY = 4
"""Photometric interpretation of a page that says which pixels of another one there are."""
_SAME = (WIDTH, LENGTH, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES, PLANAR, PREDICTOR, TILE_WIDTH, TILE_LENGTH)


@dataclass(frozen=True, slots=True)
class Page:
    """One directory: the place of its tags and pixels in the file, and what they are said to be."""

    offset: int
    tags: dict[int, int]
    """Values of tags that hold one number."""
    bits: tuple[int, ...]
    format: tuple[int, ...]
    """1 unsigned, 2 signed, 3 float, 4 undefined, 5 and 6 complex."""
    extra: tuple[int, ...]
    """Of samples beyond those of the colour: 1 and 2 are transparency."""
    subifds: tuple[int, ...]
    starts: Sequence[int]
    counts: Sequence[int]
    """Of strips or tiles: where they begin, and their bytes in the file."""
    stored: int
    """Bytes of the pixels in the file."""
    end: int
    """Where the last of them ends."""
    one_piece: bool
    """Whether each begins where the one before ends."""
    unwritten: int
    """How many of them have no bytes; decoders make zeros of these."""

    def tag(self, code: int, default: int = 0) -> int:
        """The one number of a tag."""
        return self.tags.get(code, default)

    @property
    def size(self) -> tuple[int, int, int]:
        """Planes (as a rule 1), rows and columns."""
        return self.tag(_DEPTH, 1), self.tag(LENGTH), self.tag(WIDTH)

    @property
    def samples(self) -> int:
        """Values of a pixel."""
        return self.tag(SAMPLES, 1)

    @property
    def reduced(self) -> bool:
        """Whether it is a smaller copy of another image, or its transparency mask."""
        return bool(self.tag(SUBFILE) & 0b101) or self.tag(PHOTOMETRIC) == TRANSPARENCY

    @property
    def bytes(self) -> int:
        """Of the pixels without compression, each row in whole bytes."""
        planes, rows, columns = self.size
        return planes * rows * ((columns * self.samples * max(self.bits) + 7) // 8)

    @property
    def kind(self) -> tuple:
        """What pages of one stack have in common, so that one decoder reads them."""
        rows = min(self.tag(ROWS, 2**32), self.tag(LENGTH))
        return *map(self.tags.get, _SAME), self.tag(_DEPTH, 1), rows, self.bits, self.format, self.extra


@dataclass(frozen=True)
class Pages:
    """The pages of a file in their order, and what is beside them."""

    path: Path
    size: int
    byteorder: str
    chain: tuple[Page, ...]
    below: dict[int, Page]
    """Pages that are no links of the chain (SubIFDs), by their offset."""
    description: str
    """ImageDescription of the first page."""
    colours: np.ndarray | None
    """ColorMap of the first page, (3, entries)."""
    private: frozenset[int]
    """Tags of the first page."""

    @property
    def by_offset(self) -> dict[int, Page]:
        """All pages."""
        return {page.offset: page for page in self.chain} | self.below

    def room(self, start: int) -> int:
        """Bytes from `start` to the next directory, or to the end."""
        return min((offset for offset in self.by_offset if offset > start), default=self.size) - start


def damaged(path: Path, reason: str) -> UnreadableError:
    """The error for a TIFF that is not whole."""
    return UnreadableError(
        f"{path}, which cannot be read ({reason})",
        "a whole TIFF file",
        "copy it again or remove it",
    )


def absent(path: Path, promised: int, present: int) -> UnreadableError:
    """The error for planes that are promised and not there: what readers fill up with zeros is no data."""
    return UnreadableError(
        f"{path}, whose metadata promise {promised} planes, the file holds {present}: an aborted recording?",
        "all planes",
        "export the planes that are there anew or remove it",
    )
