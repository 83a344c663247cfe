"""Where the series of a TIFF that is no OME-TIFF are: ImageJ, tifffile's own, slides, and pages without metadata.

tifffile knows these formats. What it finds is held against the pages that are there, and smaller copies are left out.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tifffile

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.tiff_pages import Page, Pages, absent, damaged
from jaxdiff.data.files.units import one_unit

_SECONDARY = ("thumbnail", "label", "macro", "overview", "map")
_MICRO_MANAGER = 51123  # a tag
_DECODED_BY_TIFFFILE = ("lsm", "ndpi", "eer", "philips", "mdgel", "qpi", "bif")
"""Kinds whose pages tifffile corrects after it has read their tags."""


@dataclass(frozen=True)
class Stack:
    """One series: its axes, and where its planes are."""

    axes: str
    shape: tuple[int, ...]
    page: Page
    """The first, which says what the pixels are."""
    dtype: str
    of_page: int
    """Numbers of one page."""
    offsets: np.ndarray | None = None
    """Of the pages of its planes, slowest axis first; None where they are not pages."""
    one_piece: bool = True
    """Whether the strips of all pages follow each other, as those of the first."""
    start: int | None = None
    """Of uncompressed pixels in one piece."""
    number: int = 0
    """Of tifffile's series, for what neither of these describes."""
    channel_names: tuple[str, ...] = ()
    pixel_size: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    notes: tuple[str, ...] = ()


def stacks(file: tifffile.TiffFile, pages: Pages) -> tuple[list[Stack], list[str]]:
    """The series of a file, and what was left out. Raises UnreadableError for planes promised and not there."""
    _refuse_absent(file, pages)
    listed, secondary, by_offset = [], 0, pages.by_offset
    copies = 0
    size, unit, notes = (
        _imagej_size(file) if file.imagej_metadata else _lsm_size(file) if file.is_lsm else ({}, None, [])
    )
    for number, series in enumerate(file.series):
        copies += len(series.levels) - 1
        stack = _stack(pages, series, number, by_offset)
        if stack is None or series.name.strip().lower() in _SECONDARY:
            secondary += 1
        else:
            listed.append(stack)
    if not listed:
        raise UnreadableError(
            f"{pages.path}, which holds reduced copies or masks of another image alone",
            "an image",
            "give the image itself",
        )
    if listed and (size or notes):
        listed[0] = replace(listed[0], pixel_size=size, unit=unit, notes=tuple(notes))
    of_generic = sum(page.reduced for page in pages.chain) + len(pages.below) if not copies else 0
    left = max(copies + secondary, of_generic)
    return listed, [f"{left} smaller copies, masks, labels or thumbnails are left out"] if left else []


def _stack(pages: Pages, series: Any, number: int, by_offset: dict[int, Page]) -> Stack | None:
    """Where a series is; None for one of reduced copies."""
    axes, shape = series.axes, tuple(series.shape)
    key = by_offset.get(series.keyframe.offset)
    if key is None:
        raise damaged(pages.path, "its pages are not where they were")
    dtype = "void" if series.dtype is None else series.dtype.name  # numbers of a size that numpy has not
    of_page = math.prod(series.keyframe.shape)
    stack = Stack(axes, shape, key, dtype, of_page, number=number)
    if not of_page:
        raise damaged(pages.path, f"an image of shape {shape}")
    if series.transform is not None:
        raise UnreadableError(
            f"{pages.path} of kind {series.kind}", "light as it is stored", "save it anew, as plain TIFF"
        )
    pages_of = [page for page in series._pages if page is not None]
    if series.kind in _DECODED_BY_TIFFFILE or any(page.offset not in by_offset for page in pages_of):
        if len(pages_of) * of_page != math.prod(shape):
            raise absent(pages.path, math.prod(shape) // of_page, len(pages_of))
        return None if key.reduced else stack
    planes = math.prod(shape) // of_page
    if len(pages_of) == 1 and planes > 1:
        start = series.dataoffset
        if start is None:
            raise absent(pages.path, planes, 1)
        room = pages.room(start) // max(1, of_page * np.dtype(dtype).itemsize)
        if room < planes:
            raise absent(pages.path, planes, room)
        return None if key.reduced else replace(stack, start=start)
    offsets = [page.offset for page in pages_of]
    if len(offsets) != planes:
        raise absent(pages.path, planes, len(offsets))
    lead = len(shape) - len(series.keyframe.shape)
    unreduced = [i for i, o in enumerate(offsets) if not by_offset[o].reduced and o not in pages.below]
    if len(unreduced) < len(offsets):  # tifffile stacks pages of one size, whatever they are
        if not unreduced or series.kind not in ("generic", "uniform"):
            return None
        offsets = [offsets[i] for i in unreduced]
        axes, shape = (axes[lead:], shape[lead:]) if len(unreduced) == 1 else (axes, (len(unreduced), *shape[lead:]))
    if len({by_offset[offset].kind for offset in offsets}) > 1:
        raise damaged(pages.path, "the pages of one stack are of several kinds")
    chain = [by_offset[offset] for offset in offsets]
    return replace(
        stack,
        axes=axes,
        shape=shape,
        page=chain[0],
        offsets=np.array(offsets, np.int64),
        one_piece=all(page.one_piece for page in chain),
    )


def _refuse_absent(file: tifffile.TiffFile, pages: Pages) -> None:
    """Raises UnreadableError where ImageJ's metadata promise more planes than are there."""
    present = sum(not page.reduced for page in pages.chain)
    key = pages.chain[0]
    imagej = file.imagej_metadata
    if imagej:
        sizes = [_count(imagej.get(name, 1)) for name in ("frames", "slices", "channels")]
        promised = max(math.prod(sizes), _count(imagej.get("images", 1)))
        if key.samples == sizes[2] > 1:  # colours that Bio-Formats counts as channels
            promised = sizes[0] * sizes[1]
        of_page = key.bytes
        room = pages.room(int(key.starts[0])) // of_page if len(key.starts) and of_page and key.tag(259, 1) == 1 else 1
        if promised > max(present, room):
            raise absent(pages.path, promised, max(present, room))
        if len(pages.chain) > 1 and promised < present and sum(size > 1 for size in sizes):
            raise UnreadableError(
                f"{pages.path}, whose metadata name {promised} planes of {present} pages",
                "metadata for each page",
                "save it anew",
            )


def refuse_unfinished(file: tifffile.TiffFile, pages: Pages) -> None:
    """Raises UnreadableError where Micro-Manager's plan has more planes than the file."""
    if _MICRO_MANAGER not in pages.private:
        return
    try:
        plan = tifffile.read_micromanager_metadata(file.filehandle, {"Summary"}).get("Summary") or {}
    except ValueError:  # saved anew by another program
        return
    promised = math.prod(_count(plan.get(name, 1)) for name in ("Channels", "Slices", "Frames"))
    present = sum(not page.reduced for page in pages.chain)
    if promised > present:
        raise absent(pages.path, promised, present)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _lsm_size(file: tifffile.TiffFile) -> tuple[dict[str, float], str | None, list[str]]:
    """Voxel size of a Zeiss LSM file, which has it in metres."""
    metadata = file.lsm_metadata or {}
    sizes = {axis: metadata.get(f"VoxelSize{axis}", 0.0) for axis in "XYZ"}
    return one_unit({axis: (repr(float(size) * 1e6), "µm") for axis, size in sizes.items() if size})


def _imagej_size(file: tifffile.TiffFile) -> tuple[dict[str, float], str | None, list[str]]:
    """Pixel size from ImageJ's metadata: y and z have units of their own where these differ from that of x."""
    metadata = file.imagej_metadata or {}
    units = {
        axis: str(metadata.get(name, metadata.get("unit", "")))
        for axis, name in (("X", "unit"), ("Y", "yunit"), ("Z", "zunit"))
    }
    sizes, tags = {}, file.pages.first.tags
    for axis in "XY":
        tag = tags.get(f"{axis}Resolution")
        if tag is not None and len(tag.value) == 2 and tag.value[0] > 0:
            sizes[axis] = (repr(tag.value[1] / tag.value[0]), units[axis])
    if "spacing" in metadata:
        spacing = metadata["spacing"]
        sizes["Z"] = (repr(abs(spacing)) if isinstance(spacing, int | float) else str(spacing), units["Z"])
    notes = []
    curve = (metadata.get("cf", 0), metadata.get("c0", 0), metadata.get("c1", 1))
    if "cf" in metadata and curve != (0, 0, 1):
        notes.append(f"ImageJ's calibration of grey values (c0={curve[1]}, c1={curve[2]}) is not applied")
    if not units["X"]:
        return {}, None, notes
    size, unit, unknown = one_unit(sizes)
    return size, unit, notes + unknown
