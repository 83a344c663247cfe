"""PNG in: grey, grey with alpha, RGB and RGBA of 8 or 16 bits; palettes as numbers."""

from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from jaxdiff.data.axes import layout
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.imagefile import ImageFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; 3 is a palette


def inspect_png(path: Path, axes: str | None = None) -> list[ImageFile]:
    """The one image of a PNG file, from its header. PNG has no pixel size that microscopes fill in: it is unknown.

    Raises UnreadableError for a file that is not a PNG, DataError for axes other than those of a picture.
    """
    width, height, depth, colour = _header(path)
    shape, found = ((height, width), "YX") if _SAMPLES[colour] == 1 else ((height, width, _SAMPLES[colour]), "YXS")
    dtype = "uint16" if depth == 16 else "bool" if depth == 1 and colour == 0 else "uint8"
    return [ImageFile(path, 0, layout(str(path), found, shape, axes), dtype)]


def read_png(image: ImageFile) -> np.ndarray:
    """The pixels (Y, X, C); those of a palette image are its indices. Raises UnreadableError for a damaged file."""
    _, _, depth, colour = _header(image.path)
    try:
        if depth == 16 and colour != 0:  # Pillow would halve the depth of colour images
            array = imagecodecs.png_decode(image.path.read_bytes())
        else:
            with Image.open(image.path) as file:
                array = np.asarray(file)
    except Exception as error:  # damaged files raise OSError, SyntaxError, zlib's and libpng's own classes
        raise _unreadable(image.path, f"{type(error).__name__}: {error}") from error
    return image.layout.images(array.astype(image.dtype))[0]


def refuse_palette(path: Path) -> None:
    """Raises DataError where pixels are numbers of colours: good for a mask, not for an image."""
    if _header(path)[3] == 3:
        raise DataError(f"{path} with a palette", "grey levels or RGB", "save it as a grey or an RGB image")


def _header(path: Path) -> tuple[int, int, int, int]:
    """Width, height, bit depth and colour type."""
    try:
        with path.open("rb") as file:
            head = file.read(33)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    if len(head) < 33 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR" or head[25] not in _SAMPLES:
        raise _unreadable(path, "no PNG header")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"), head[24], head[25]


def _unreadable(path: Path, reason: str) -> UnreadableError:
    return UnreadableError(
        f"{path}, which cannot be read ({reason})",
        "a whole PNG file",
        "copy it again or remove it, or leave such files out with skip_unreadable",
    )
