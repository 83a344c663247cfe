"""What a reader gives of a file, held against what a file may be before memory is taken."""

import contextlib
import math
import os
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.axes import SEPARATE, Layout, layout
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.regular_file import status


def checked_images(path: Path, images: object, reader: object) -> list[ImageFile]:
    """What a reader's `inspect` gave. Raises UnreadableError for anything but images that this file can hold."""
    name = type(reader).__name__

    def wrong(what: str, expected: str) -> UnreadableError:
        return UnreadableError(
            f"{path}, of which {name}.inspect gives {what}", expected, f"correct {name}, or the file"
        )

    if not isinstance(images, list | tuple) or not images or not all(isinstance(one, ImageFile) for one in images):
        raise wrong(f"{images!r:.60}", "a list of ImageFile, at least one")
    for image in images:
        if not isinstance(image.layout, Layout) or not all(isinstance(n, int) and n > 0 for n in image.layout.shape):
            raise wrong(f"the layout {image.layout!r:.80}", "a Layout of whole numbers above 0")
        layout(str(path), image.layout.axes, image.layout.shape, None)
        if _kind(image.dtype) not in tuple("biuf"):
            raise wrong(f"pixels of type {image.dtype!r}", "the name of a type of integers or floats, such as uint16")
    number, size = sum(map(_number, images)), status(path).st_size
    if number > max(size, 1):
        raise wrong(f"{number} images for its {size} bytes", "no more images than bytes")
    return list(images)


def _number(image: ImageFile) -> int:
    return math.prod(n for axis, n in zip(image.layout.axes, image.layout.shape) if axis in SEPARATE)


def _kind(dtype: object) -> str:
    if isinstance(dtype, str):
        with contextlib.suppress(TypeError):
            if np.dtype(dtype).name == dtype:
                return np.dtype(dtype).kind
    return ""


def checked_pixels(image: ImageFile, array: object, reader: object) -> np.ndarray:
    """What a reader's `read` gave, in the machine's byte order. Raises UnreadableError for other pixels than promised."""
    if isinstance(array, np.ndarray) and array.shape == image.layout.image_shape and array.dtype.name == image.dtype:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    what = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
    raise UnreadableError(
        f"{image.path}, of which {type(reader).__name__}.read gives {what}",
        f"{image.dtype} of shape {image.layout.image_shape}, as was promised",
        "copy the file again, or correct the reader",
    )


def check_fits(size: int, path: str | Path) -> None:
    """Raises UnreadableError for an image of `size` bytes, in the file `path`, that is larger than the memory."""
    if size > memory():
        raise UnreadableError(
            f"an image of {size / 1e9:.0f} GB in {path}",
            f"one that fits into {memory() / 1e9:.0f} GB of memory",
            "jaxdiff prepare --tile cuts TIFF files into tiles",
        )


def memory() -> float:
    """Bytes that an image may take: four fifths of the machine's memory, or of the container's where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        total = math.inf
    with contextlib.suppress(ValueError, OSError):  # "max": there is no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return 0.8 * total
