"""OME-XML as the first page of an OME-TIFF has it: its images, and the page of each of their planes.

Which page is which plane is said by TiffData (Linkert et al., J. Cell Biol. 2010, doi:10.1083/jcb.201004104; OME-TIFF
specification, OME model 2016-06): from page IFD on (default 0), PlaneCount planes (default 1 with IFD, all without) from
(FirstZ, FirstC, FirstT) on, in the order of DimensionOrder. Planes of other files, named by UUID, are never looked for.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import UnreadableError
from jaxdiff.data.files.tiff_pages import absent, damaged
from jaxdiff.data.files.units import one_unit
from jaxdiff.data.names import key

LARGEST = 2**26
"""Characters of metadata that are parsed: a hundred thousand planes with a time and a place each take half of it."""
MOST = 2**21
"""Tags in them: each takes some hundred bytes when it is parsed."""

_SECONDARY = (
    "label",
    "macro",
    "thumbnail",
    "overview",
    "label image",
    "macro image",
    "thumbnail image",
    "overview image",
)


@dataclass(frozen=True)
class OmeImage:
    """One Image element whose pixels are in the file."""

    name: str
    axes: str
    """Of the planes, slowest first, such as "TZC"."""
    shape: tuple[int, ...]
    rows: int
    columns: int
    dtype: str
    samples: int
    """Of a pixel, as the metadata have it."""
    planes: np.ndarray
    """The number of the page of each plane, (*shape,)."""
    channel_names: tuple[str, ...]
    pixel_size: dict[str, float]
    unit: str | None
    notes: tuple[str, ...]

    @property
    def secondary(self) -> bool:
        """Whether its name is that of the label or the overview of a slide."""
        return self.name.strip().lower() in _SECONDARY


@dataclass(frozen=True)
class Ome:
    """What the OME-XML of a file says."""

    images: tuple[OmeImage, ...]
    notes: tuple[str, ...]
    """What is left out of the file."""
    axes_known: bool = True
    """False: all metadata are in another file."""


def is_ome(description: str) -> bool:
    """Whether the text of a page is, or was, OME-XML."""
    head = description.lstrip("\ufeff \r\n\t")[:4096]
    return head.startswith("<") and ("<OME" in head or ":OME" in head)


def checked_xml(path: Path, text: str) -> None:
    """Raises UnreadableError for XML that defines entities, as no microscope does, or is too long."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise damaged(path, "its XML defines entities")
    if len(text) > LARGEST:
        raise damaged(path, f"{len(text)} characters of XML, where {LARGEST} are read")
    if (tags := text.count("<")) > MOST:
        raise damaged(path, f"{tags} tags of XML, where {MOST} are read")


def read_ome(path: Path, text: str, number: int, samples: int) -> Ome:
    """The images of a file of `number` pages with `samples` values a pixel.

    Raises UnreadableError for XML that is damaged, for planes that are promised and not there, and for an image whose planes
    are spread over files, and for axes that images here do not have (modulo).
    """
    checked_xml(path, text)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise damaged(path, f"its OME-XML: {error}") from error
    if any(_tag(element) == "BinaryOnly" for element in root):
        return Ome((), ("its OME metadata are in another file, which is not read",), axes_known=False)
    _refuse_modulo(path, root)
    elements = [element for element in root if _tag(element) == "Image"]
    if not elements:
        raise damaged(path, "its OME-XML has no Image")
    own, outside = [], []
    for element in elements:
        pixels = next((child for child in element if _tag(child) == "Pixels"), None)
        if pixels is None:
            raise damaged(path, "its OME-XML has an Image without Pixels")
        image = _Reader(
            path, element, pixels=pixels, number=number, samples=samples, uuid=root.get("UUID"), only=len(elements) == 1
        ).image()
        outside.append(element.get("Name") or "") if image is None else own.append(image)
    if not own:
        raise UnreadableError(
            f"{path}, whose metadata name planes of other files alone",
            "its own pixels",
            "give those files, or save it as one",
        )
    notes = [f"{len(outside)} images whose pixels are not in the file are left out"] if outside else []
    unnamed = number - len(np.unique(np.concatenate([image.planes.reshape(-1) for image in own])))
    if unnamed:
        notes.append(f"{unnamed} pages that its metadata do not name are left out")
    return Ome(tuple(own), tuple(notes))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _refuse_modulo(path: Path, root: ElementTree.Element) -> None:
    """Lifetimes, angles or phases hide in Z, C or T."""
    for element in root.iter():
        name = _tag(element)
        if name.startswith("ModuloAlong"):
            raise UnreadableError(
                f"{path} with {element.get('Type', 'another axis')} along {name[-1:]}",
                "T, P, Z, C, S, Y and X",
                "save each alone",
            )


class _Reader:
    """One Image element."""

    def __init__(
        self,
        path: Path,
        element: ElementTree.Element,
        pixels: ElementTree.Element,
        number: int,
        samples: int,
        uuid: str | None,
        only: bool,
    ):
        self.path, self.element, self.pixels, self.uuid, self.only = path, element, pixels, uuid, only
        self.number, self.samples = number, samples
        self._is_own: dict[tuple[str, str], bool] = {}

    def image(self) -> OmeImage | None:
        """The image; None where none of its planes is in this file."""
        order = self.pixels.get("DimensionOrder", "")
        if sorted(order) != list("CTXYZ") or not order.startswith("XY"):
            raise damaged(self.path, f"DimensionOrder {order!r} in its OME-XML")
        sizes = {axis: self._whole(self.pixels, f"Size{axis}") for axis in order}
        channels = [child for child in self.pixels if _tag(child) == "Channel"]
        of_channel = {self._whole(channel, "SamplesPerPixel", 1) for channel in channels} or {1}
        if len(of_channel) > 1:
            raise UnreadableError(
                f"{self.path} with channels of {sorted(of_channel)} samples", "one number", "save them alone"
            )
        samples = of_channel.pop()
        if samples == 1 and sizes["C"] % self.samples == 0:
            samples = self.samples  # colours of a page that the metadata count as channels
        axes = order[:1:-1]
        shape = tuple(max(1, sizes[axis] // samples) if axis == "C" else sizes[axis] for axis in axes)
        spread, blocks = self._blocks(axes, shape)
        if not blocks and spread:
            return None
        planes = self._planes(shape, blocks, spread)
        if planes is None:
            return None
        names = tuple(channel.get("Name") or "" for channel in channels)
        written_sizes = {
            a: (v, self.pixels.get(f"PhysicalSize{a}Unit", "µm"))
            for a in "XYZ"
            if (v := self.pixels.get(f"PhysicalSize{a}")) is not None
        }
        size, unit, notes = one_unit(written_sizes)
        return OmeImage(
            name=self.element.get("Name") or "",
            axes=axes,
            shape=shape,
            rows=sizes["Y"],
            columns=sizes["X"],
            dtype=self.pixels.get("Type") or self.pixels.get("PixelType") or "",
            samples=samples,
            planes=planes,
            channel_names=names if all(names) else (),
            pixel_size=size,
            unit=unit,
            notes=tuple(notes),
        )

    def _blocks(self, axes: str, shape: tuple[int, ...]) -> tuple[int, list[tuple[int, int, int]]]:
        """How many TiffData are of other files; and of each of this: first plane, first page, number."""
        total, others, blocks = prod(shape), 0, []
        steps = [prod(shape[i + 1 :]) for i in range(len(shape))]
        named = [child for child in self.pixels if _tag(child) == "TiffData"]
        if len(named) > 2 * total:  # of this file or of others: each names a plane
            raise damaged(self.path, "its metadata name planes again and again")
        if total > self.number and not any(len(data) for data in named):
            raise absent(self.path, total, self.number)
        for data in named:
            if not self._own(data):
                others += 1
                continue
            first = [self._whole(data, f"First{axis}", 0) for axis in axes]
            if any(place >= size for place, size in zip(first, shape)):
                raise damaged(
                    self.path, f"its metadata name plane {dict(zip(axes, first))} of {dict(zip(axes, shape))}"
                )
            page = self._whole(data, "IFD", 0)
            plane = sum(place * step for place, step in zip(first, steps))
            rest = 1 if data.get("IFD") is not None else max(1, min(self.number, total - plane))
            number = self._whole(data, "PlaneCount", self._whole(data, "NumPlanes", rest))
            blocks.append((plane, page, number))
        if not others and not blocks and self.only and total == self.number:
            blocks.append((0, 0, self.number))  # no TiffData at all, and as many pages as planes
        return others, blocks

    def _own(self, data: ElementTree.Element) -> bool:
        """Whether the planes are of this file."""
        uuid = next((child for child in data if _tag(child) == "UUID"), None) if len(data) else None
        if uuid is None:
            return True
        which = (uuid.text or "").strip(), uuid.get("FileName", "")
        if which not in self._is_own:
            self._is_own[which] = self._names_this(*which)
        return self._is_own[which]

    def _names_this(self, text: str, name: str) -> bool:
        if self.uuid and text:
            return text == self.uuid.strip()
        return key(name).lower() == key(self.path.name).lower() if name or text else True

    def _planes(self, shape: tuple[int, ...], blocks: list[tuple[int, int, int]], spread: int) -> np.ndarray | None:
        total = prod(shape)
        if spread:
            raise UnreadableError(
                f"{self.path}: one image spread over several files",
                "one file an image",
                "save it as one",
            )
        if not blocks:
            if self.only:
                raise damaged(
                    self.path,
                    f"its metadata name {total} planes and no page of them, the file holds {self.number} pages",
                )
            return None
        most = max(first + number for first, _, number in blocks)
        if total > self.number or most > total or any(page + number > self.number for _, page, number in blocks):
            raise absent(self.path, max(total, most), self.number)
        if sum(number for _, _, number in blocks) > 2 * total:
            raise damaged(self.path, "its metadata name planes again and again")
        first, page, number = np.array(blocks, np.int64).T
        place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)  # in the block
        at, now = np.repeat(first, number) + place, np.repeat(page, number) + place
        planes = np.full(total, -1, np.int64)
        planes[at] = now
        if (planes[at] != now).any():
            raise damaged(self.path, "its metadata name two pages for one plane")
        present = len(np.unique(planes[planes >= 0]))
        if present < total:  # nor is one page two planes: that is what a forgotten IFD comes to
            raise absent(self.path, total, present)
        return planes.reshape(shape)

    def _whole(self, element: ElementTree.Element, name: str, default: int | None = None) -> int:
        """A whole number of an attribute, at least 0 (of a size 1)."""
        text = element.get(name)
        if text is None and default is not None:
            return default
        try:
            value = int(text or "")
        except ValueError:
            value = -1
        if value < (0 if default is not None and default == 0 else 1) or value > 2**62:
            raise damaged(self.path, f"{name}={text!r} in its OME-XML")
        return value
