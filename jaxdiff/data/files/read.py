"""Image files of any kind that is read here, and the records made of them."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.files.object_classes import ObjectClasses
from jaxdiff.data.files.promised import check_fits, checked_images, checked_pixels
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.files.regular_file import guarded, status
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record
from jaxdiff.terminal import one_line

ZARR = (".zarr", ".ome.zarr")
LARGEST = 2.0**64
"""Size of the values of an image, at most: as 64-bit integers have them. Squares are then numbers of float32, as which
images are computed with."""


def inspect(path: str | Path, axes: str | None = None, readers: Readers = BUILT_IN) -> list[ImageFile]:
    """Every series of an image file, from its header.

    Raises UnreadableError for a file that is damaged, or whose pixels or axes are none of an image; DataError for one whose
    axes must be named, and for one that no reader is for.
    """
    path = Path(path)
    reader = readers.of(path)
    if reader is None:
        raise refusal(path, readers)
    with guarded(path, "image"):
        state = _state(path)
        images = checked_images(path, reader.inspect(path, axes), reader)
    return [replace(image, reader=reader, state=state) for image in images]


def refusal(path: Path, readers: Readers = BUILT_IN) -> DataError:
    """Why a file or folder of this name is not read."""
    if path.name.lower().endswith(ZARR):
        return DataError(
            f"{path}", "TIFF, OME-TIFF or PNG: OME-Zarr is written here, but not read yet", "convert it to OME-TIFF"
        )
    return DataError(f"{path}", f"a file ending in {', '.join(readers.suffixes)}", "convert it to OME-TIFF")


def read(image: ImageFile, index: int = 0, scratch: Path | None = None) -> np.ndarray:
    """Image `index` of a series that `inspect` gave: (*spatial, C) in the file's dtype.

    scratch: a file that a large image is decoded into, where its reader can, and not into memory. Raises UnreadableError for
    a damaged file, DataError for one that changed since `inspect`: its pixels may lie elsewhere, or be of two images.
    """
    with guarded(image.path, "image"):
        if scratch is None:
            check_fits(math.prod(image.layout.image_shape) * np.dtype(image.dtype).itemsize, image.path)
        try:
            array = checked_pixels(image, image.reader.read(image, index, scratch), image.reader)
        except Exception:
            _check_at_rest(image)  # a file that is being written looks like a damaged one
            raise
        _check_at_rest(image)
    check_range(array, str(image.path))
    array.flags.writeable = False  # records are shared between readers
    return array


def check_range(image: np.ndarray, where: str) -> None:
    """Raises UnreadableError, with the range, for finite values beyond `LARGEST`; NaN and infinite ones are the caller's."""
    if image.dtype.kind != "f" or not image.size:
        return
    low, high = np.fmin.reduce(image, axis=None), np.fmax.reduce(image, axis=None)
    if np.isinf(low) or np.isinf(high):
        finite = image[np.isfinite(image)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if max(-float(low), float(high)) > LARGEST:
        raise UnreadableError(
            f"{where} with values from {low:.4g} to {high:.4g}",
            f"values of at most {LARGEST:.4g} in size, whose squares float32 holds",
            "divide them by a number before, or leave the file out",
        )


def _check_at_rest(image: ImageFile) -> None:
    """Raises DataError where the file was written to after its header was read."""
    if image.state is not None and _state(image.path) != image.state:
        raise DataError(
            f"{image.path}, which changed while it was read",
            "a file at rest",
            "wait until it is whole, and begin again",
        )


def _state(path: Path) -> tuple[int, int]:
    """Another one after a file was written to. Raises UnreadableError for what is no file."""
    of_file = status(path)
    return of_file.st_size, of_file.st_mtime_ns


def read_image(path: str | Path, axes: str | None = None, readers: Readers = BUILT_IN) -> tuple[np.ndarray, DataInfo]:
    """The one image of a file, (*spatial, C), and what is known of it; what is left out of the file is a warning.

    Raises DataError for a file of several.
    """
    image = only_image(path, axes, readers)
    for note in image.notes:
        warnings.warn(one_line(f"{path}: {note}"), stacklevel=2)
    return read(image), info_of(image)


def only_image(path: str | Path, axes: str | None = None, readers: Readers = BUILT_IN) -> ImageFile:
    """The one image of a file, from its header. Raises DataError for a file of several."""
    series = inspect(path, axes, readers)
    if len(series) != 1 or series[0].layout.number != 1:
        number = sum(s.layout.number for s in series)
        raise DataError(f"{path} with {number} images", "one image", "give its folder to a Folder, or split the file")
    return series[0]


def info_of(image: ImageFile) -> DataInfo:
    """The DataInfo of one image file: channels without names are numbered, or red, green and blue."""
    axes, channels = image.layout.image_axes, image.layout.image_shape[-1]
    colour = "S" in image.layout.axes
    default = ("red", "green", "blue", "alpha")[:channels] if colour and channels in (3, 4) else range(channels)
    return DataInfo(
        axes=axes,
        channel_names=image.channel_names or tuple(str(c) for c in default),
        colour=colour,
        pixel_size={a: image.pixel_size.get(a) for a in axes[:-1]},
        unit=image.unit,
        dtype=image.dtype,
        synthetic=image.synthetic,
    )


@dataclass(frozen=True)
class Entry:
    """Where one record comes from; `file` is below the folder, `name` also says which image of it."""

    name: str
    file: str
    image: ImageFile
    index: int = 0
    masks: tuple[ImageFile, ...] = ()
    """One, or of objects with classes one for each class."""
    classes: ObjectClasses | None = None
    """Of the objects in the masks."""
    label: int | None = None
    input: ImageFile | None = None


class Files:
    """A source that decodes the files of its entries, each time anew.

    scratch: a folder for large images, which are decoded into files there; a record holds until the next is read, and
    masks keep the file's dtype.
    """

    def __init__(self, entries: Sequence[Entry], info: DataInfo, scratch: Path | None = None):
        self.entries, self.info, self.scratch = tuple(entries), info, scratch

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Record:
        entry = self.entries[index]
        record: Record = {"image": self._read(entry.image, entry, "image"), "name": entry.name, "file": entry.file}
        masks = [self._read(mask, entry, f"mask{i or ''}")[..., 0] for i, mask in enumerate(entry.masks)]
        if self.scratch is None or entry.classes is not None:
            masks = [as_labels(mask, f"mask {of.path}") for mask, of in zip(masks, entry.masks)]
        if entry.classes is not None:
            where = ", ".join(str(mask.path) for mask in entry.masks)
            record["mask"], record["classes"] = entry.classes.objects(masks, where)
        elif masks:
            record["mask"] = masks[0]
        if entry.label is not None:
            record["label"] = entry.label
        if entry.input is not None:
            record["input"] = self._read(entry.input, entry, "input")
        return record

    def _read(self, image: ImageFile, entry: Entry, kind: str) -> np.ndarray:
        return read(image, entry.index, None if self.scratch is None else self.scratch / kind)


def check_image(image: ImageFile) -> None:
    """Raises UnreadableError for pixels that are no intensities: booleans, or numbers of a palette."""
    if image.palette:
        raise UnreadableError(f"{image.path} with a palette", "grey levels or RGB", "save it as a grey or an RGB image")
    if image.dtype == "bool":
        raise UnreadableError(
            f"{image.path} with pixels of type bool", "integers or floats", "give intensities, not a mask"
        )


def check_one_label(mask: ImageFile, what: str) -> None:
    """Raises DataError for a mask of colours or several channels (a colour may be a class, an object, or a drawing), and for
    one of numbers where white is zero: its labels, or its light, may be meant.
    """
    if mask.inverted:
        raise DataError(
            f"{what} {mask.path} where white is zero (photometric interpretation 0)".lstrip(),
            "labels, 0 the background",
            "save it with black as zero",
        )
    channels = mask.layout.image_shape[-1]
    if channels == 1:
        return
    kind = "colour samples" if "S" in mask.layout.axes else "channels"
    raise DataError(
        f"{what} {mask.path} with {channels} {kind}".lstrip(),
        "one label for each pixel, no channels",
        "save the labels and not their picture; where each object has a colour of its own, np.unique(mask.reshape(-1, "
        f"{channels}), axis=0, return_inverse=True) numbers them",
    )


def check_mask(mask: ImageFile, image: ImageFile) -> None:
    """Raises DataError unless a mask has numbers, one channel, and the spatial shape of its image."""
    if np.dtype(mask.dtype).kind not in "uibf":
        raise DataError(f"mask {mask.path} with pixels of type {mask.dtype}", "integer labels", "save it as integers")
    check_one_label(mask, "mask")
    of_mask, of_image = mask.layout.image_shape, image.layout.image_shape
    if of_mask[-1] != 1 or of_mask[:-1] != of_image[:-1] or mask.layout.number != image.layout.number:
        raise DataError(
            f"mask {mask.path} of shape {mask.layout.shape} ({mask.layout.axes}) for {image.path} of shape "
            f"{image.layout.shape} ({image.layout.axes})",
            "one label for each pixel, one mask for each image, no channels",
            "make the mask from this image at its full size",
        )
