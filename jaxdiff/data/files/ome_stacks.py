"""Where the images of an OME-TIFF are: its metadata held against its pages."""

import math

import numpy as np
import tifffile

from jaxdiff.data.files.ome import OmeImage, read_ome
from jaxdiff.data.files.tiff_pages import Page, Pages, damaged
from jaxdiff.data.files.tiff_planes import page_at
from jaxdiff.data.files.tiff_stacks import Stack

_TYPES = {"float": "float32", "double": "float64", "bit": "bool"}


def ome_stacks(file: tifffile.TiffFile, pages: Pages) -> tuple[list[Stack], list[str]]:
    """The images of a file without labels and overviews of slides, and what was left out.

    None where its OME-XML is in another file.
    Raises UnreadableError and DataError as `read_ome` does, and UnreadableError for pages that are not what it says.
    """
    ome = read_ome(pages.path, pages.description, len(pages.chain), pages.chain[0].samples)
    notes = list(ome.notes)
    if not ome.axes_known:
        return [], notes
    images = [image for image in ome.images if not (image.secondary or _key(pages, image).reduced)] or list(ome.images)
    copies = len(ome.images) - len(images) + len(pages.below)
    if copies:
        notes.append(f"{copies} smaller copies, masks, labels or thumbnails are left out")
    return [_stack(file, pages, image) for image in images], notes


def _key(pages: Pages, image: OmeImage) -> Page:
    return pages.chain[int(image.planes.flat[0])]


def _stack(file: tifffile.TiffFile, pages: Pages, image: OmeImage) -> Stack:
    chain = [pages.chain[number] for number in image.planes.reshape(-1).tolist()]
    key = chain[0]
    if key.size != (1, image.rows, image.columns) or key.samples != image.samples:
        raise damaged(
            pages.path,
            f"its metadata promise {image.rows} x {image.columns} pixels of {image.samples} samples, "
            f"its pages hold {' x '.join(map(str, key.size))} of {key.samples}",
        )
    if len({page.kind for page in chain}) > 1:
        raise damaged(pages.path, "the pages of one image are of several kinds")
    page = page_at(file, key.offset)
    sizes = [(a, n) for a, n in zip(image.axes + page.axes, image.shape + page.shape) if n > 1 or a in "YX"]
    notes, dtype = list(image.notes), "void" if page.dtype is None else page.dtype.name
    if image.dtype and _TYPES.get(image.dtype, image.dtype) != dtype:
        notes.append(f"its metadata say {image.dtype}, its pixels are {dtype}")
    return Stack(
        "".join(a for a, _ in sizes),
        tuple(n for _, n in sizes),
        key,
        dtype,
        math.prod(page.shape),
        offsets=np.array([page.offset for page in chain], np.int64),
        one_piece=all(page.one_piece for page in chain),
        channel_names=image.channel_names,
        pixel_size=image.pixel_size,
        unit=image.unit,
        notes=tuple(notes),
    )
