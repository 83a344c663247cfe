"""TIFF, ImageJ TIFF and OME-TIFF in."""

import logging
import math
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from jaxdiff.data.axes import layout
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.imagefile import ImageFile

SYNTHETIC = "jaxdiff:synthetic"  # the name of the OME annotation that marks generated images

MICROMETRES = {"µm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
_MICRO = ("um", "\u03bcm", "micron", "microns", "micrometer", "\\u00B5m", "\\u00b5m")
_SPELLINGS: dict[str, str] = dict.fromkeys(_MICRO, "µm")


def inspect_tiff(path: Path, axes: str | None = None) -> list[ImageFile]:
    """Every series of a TIFF file, from its header only.

    Raises UnreadableError for a file that is truncated or not a TIFF, DataError for axes that are not known.
    """
    with _opened(path) as file:
        series = list(file.series)
        if not series:
            raise _unreadable(path, "it holds no image")
        _complete(path, file)
        result = []
        for i, one in enumerate(series):
            where = str(path) if len(series) == 1 else f"{path}, series {i}"
            if one.is_multifile:
                raise DataError(f"{where}: one image spread over several files", "one file an image", "save it as one")
            if one.dtype is None or one.dtype.kind not in "uifb":
                raise DataError(f"{where} with pixels of type {one.dtype}", "integers or floats", "convert the file")
            names, size, unit = _metadata(file, i)
            place = layout(where, one.axes, one.shape, axes)
            if len(names) != place.image_shape[-1]:
                names = ()
            result.append(
                ImageFile(path, i, place, one.dtype.name, names, size, unit, SYNTHETIC in (file.ome_metadata or ""))
            )
    return result


LARGE = 2**28
"""Bytes of a decoded image from which it is decoded into a file, where one is given."""


def read_tiff(image: ImageFile, index: int, scratch: Path | None = None) -> np.ndarray:
    """Image `index` of a series, (*spatial, C); only its own pages are decoded where the layout allows.

    scratch: a file into which a large series is decoded, strip by strip; the array is then a view of it, in the file's
    byte order.
    """
    large = math.prod(image.layout.shape) * np.dtype(image.dtype).itemsize >= LARGE
    if scratch is not None and large:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        with _opened(image.path) as file:
            whole = file.series[image.series].asarray(out=str(scratch))
            return image.layout.images(whole, copy=False)[index]
    with _opened(image.path) as file:
        series = file.series[image.series]
        page_shape = tuple(series.keyframe.shape)
        lead = len(series.shape) - len(page_shape)
        place = image.layout
        by_page = (
            place.number > 1
            and not place.separate_last()
            and all(a not in "TP" for a in place.axes[lead:])
            and len(series.pages) == math.prod(series.shape[:lead])
        )
        if not by_page:
            return place.images(series.asarray())[index]
        pages = len(series.pages) // place.number
        planes = []
        for page in series.pages[index * pages : (index + 1) * pages]:
            if page is None:
                raise UnreadableError(f"{image.path} with a missing page", "a whole TIFF", "copy it again")
            planes.append(page.asarray())
        own = [(a, n) for a, n in zip(place.axes, place.shape) if a not in "TP"]
        one = type(place)("".join(a for a, _ in own), tuple(n for _, n in own))
        return one.images(np.stack(planes))[0]


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """An open TIFF; whatever goes wrong in it, or is only logged by tifffile as an error, becomes UnreadableError."""
    complaints: list[str] = []
    handler = _Complaints(complaints)
    logger = logging.getLogger("tifffile")
    logger.addHandler(handler)
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except MemoryError:
        raise
    except DataError as error:
        if complaints:  # what is left of a truncated file may look like another kind of file
            raise _unreadable(path, complaints[0]) from error
        raise
    except Exception as error:  # damaged files raise anything from struct.error to a codec's own class
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    finally:
        logger.removeHandler(handler)
    if complaints:
        raise _unreadable(path, complaints[0])


class _Complaints(logging.Handler):
    """Collects errors that tifffile logs in this thread: of a truncated file it may return a part and only log."""

    def __init__(self, complaints: list[str]):
        super().__init__(logging.ERROR)
        self.complaints, self.thread = complaints, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.complaints.append(record.getMessage())


def _complete(path: Path, file: tifffile.TiffFile) -> None:
    """Every strip and tile must lie inside the file."""
    size = path.stat().st_size
    for page in file.pages:
        if any(start + count > size for start, count in zip(page.dataoffsets, page.databytecounts)):
            raise _unreadable(path, f"pixels are said to lie beyond the file's {size} bytes")


def _unreadable(path: Path, reason: str) -> UnreadableError:
    return UnreadableError(
        f"{path}, which cannot be read ({reason})",
        "a whole TIFF file",
        "copy it again or remove it, or leave such files out with skip_unreadable",
    )


def _metadata(file: tifffile.TiffFile, series: int) -> tuple[tuple[str, ...], dict[str, float], str | None]:
    """Channel names, pixel size and unit from OME or ImageJ metadata; resolution tags alone are not believed (dpi)."""
    if file.ome_metadata:
        return _ome(file.ome_metadata, series)
    if file.imagej_metadata:
        return _imagej(file)
    return (), {}, None


def _ome(xml: str, series: int) -> tuple[tuple[str, ...], dict[str, float], str | None]:
    images = [e for e in ElementTree.fromstring(xml) if e.tag.endswith("}Image") or e.tag == "Image"]
    pixels = (
        next((e for e in images[series] if e.tag.split("}")[-1] == "Pixels"), None) if series < len(images) else None
    )
    if pixels is None:
        return (), {}, None
    channels = [e for e in pixels if e.tag.split("}")[-1] == "Channel"]
    names = tuple(e.get("Name") or "" for e in channels)
    sizes = {}
    for axis in "XYZ":
        value = float(pixels.get(f"PhysicalSize{axis}", "nan"))
        if 0 < value < math.inf:
            sizes[axis] = (value, pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return (names if all(names) else ()), *_one_unit(sizes)


def _imagej(file: tifffile.TiffFile) -> tuple[tuple[str, ...], dict[str, float], str | None]:
    metadata = file.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    sizes = {}
    tags = file.pages.first.tags
    for axis in "XY":
        tag = tags.get(f"{axis}Resolution")
        if tag is not None and tag.value[0] > 0:
            sizes[axis] = (tag.value[1] / tag.value[0], unit)
    if float(metadata.get("spacing", 0)) > 0:
        sizes["Z"] = (float(metadata["spacing"]), unit)
    return (), *_one_unit(sizes)  # ImageJ's labels name slices and often files, not channels


def _one_unit(sizes: dict[str, tuple[float, str]]) -> tuple[dict[str, float], str | None]:
    """Sizes in one length unit: the file's own when it is the same for all axes, micrometres otherwise."""
    known = {a: (v, _SPELLINGS.get(u, u)) for a, (v, u) in sizes.items() if _SPELLINGS.get(u, u) in MICROMETRES}
    units = {u for _, u in known.values()}
    if len(units) == 1:
        return {a: v for a, (v, _) in known.items()}, units.pop()
    return {a: v * MICROMETRES[u] for a, (v, u) in known.items()}, "µm" if known else None
