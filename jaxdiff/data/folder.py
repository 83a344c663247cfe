"""A folder of images, with its masks and classes, as a list of entries that agree with each other."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files import SUFFIXES, Entry, Files, check_image, check_mask, info_of, inspect
from jaxdiff.data.imagefile import ImageFile
from jaxdiff.data.info import DataInfo


@dataclass(frozen=True)
class Listing:
    """What was found: the readable images as a source, why files were left out, and files of other kinds by suffix."""

    source: Files
    skipped: tuple[str, ...] = ()
    ignored: Counter[str] = field(default_factory=Counter)


def list_folder(
    path: str | Path,
    masks: str | Path | None = None,
    axes: str | None = None,
    classes: bool = False,
    skip_unreadable: bool = False,
    pixel_size: Sequence[float] | None = None,
    channel_names: Sequence[str] | None = None,
) -> Listing:
    """List the images of a folder (or the one file `path`) from their headers, sorted by name.

    Args:
        masks: folder of label images of the same names (endings may differ), with the same sub-folders.
        axes: letters of jaxdiff.data.axes for files whose metadata do not say; they override what it says.
        classes: each sub-folder holds the images of one class, and gives it its name.
        pixel_size: micrometres (Y, X) or (Z, Y, X), in place of what the files say.

    Raises DataError for a folder that is missing, empty or cannot be listed, for images that differ in axes, dtype,
    channels or pixel size, and for masks and images that do not match. Raises UnreadableError for a damaged file
    unless `skip_unreadable`.
    """
    root = Path(path)
    found, ignored = find_images(root, classes)
    labels_of = sorted({file.parent.name for file in found}) if classes else []
    mask_of = _pair(found, Path(masks), classes) if masks is not None else {}
    entries: list[Entry] = []
    skipped: list[str] = []
    for file in found:
        try:
            images = inspect(file, axes)
            mask_images = inspect(mask_of[file], _mask_axes(axes)) if file in mask_of else [None] * len(images)
        except UnreadableError as error:
            if not skip_unreadable:
                raise
            skipped.append(str(error))
            continue
        label = labels_of.index(file.parent.name) if classes else None
        entries += _entries(root, file, images, mask_images, label)
    if not entries:
        raise DataError(f"{root} with no readable image ({len(skipped)} damaged)", "at least one", "copy it again")

    _agree(entries, lambda i: (i.layout.image_axes, i.layout.image_shape[-1], "S" in i.layout.axes, i.dtype), _describe)
    if channel_names is None:
        _agree(entries, lambda i: i.channel_names, lambda i: f"channels {i.channel_names}", "or state channel_names")
    if pixel_size is None:
        _agree(entries, _rounded, lambda i: f"pixel size {dict(i.pixel_size)} {i.unit}", "or state pixel_size")
    synthetic = any(entry.image.synthetic for entry in entries)
    info = info_of(entries[0].image).replace(class_names=tuple(labels_of), synthetic=synthetic)
    return Listing(Files(entries, _stated(info, pixel_size, channel_names)), tuple(skipped), ignored)


def find_images(root: Path, classes: bool = False) -> tuple[list[Path], Counter[str]]:
    """Image files of a folder (or `root` itself, a file), sorted, and the count of other files by suffix.

    classes: those of its sub-folders instead. Raises DataError for a folder that is missing or without images.
    """
    try:
        if root.is_file():
            return [root], Counter()
        if not root.is_dir():
            raise DataError(f"{root}, which does not exist", "a folder of images", "correct the path")
        below = sorted(p for p in root.iterdir() if p.is_dir())
        files = [p for folder in (below if classes else [root]) for p in sorted(folder.iterdir()) if p.is_file()]
    except OSError as error:
        raise DataError(f"{root}, which cannot be listed ({error})", "a readable folder", "check its rights") from error
    files = [p for p in files if not p.name.startswith(".")]
    images = [p for p in files if p.suffix.lower() in SUFFIXES]
    ignored = Counter(p.suffix.lower() or p.name for p in files if p.suffix.lower() not in SUFFIXES)
    if not images:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in ignored.most_common(3)) or "nothing"
        within = bool(below) and not classes
        raise DataError(
            f"{root} without images (it holds {kinds}{' and sub-folders' if within else ''})",
            f"files ending in {', '.join(SUFFIXES)}" + (", in sub-folders named after classes" if classes else ""),
            "name the folder that holds them" + (", or say classes=True for one sub-folder a class" if within else ""),
        )
    return images, ignored


def stem(file: Path) -> str:
    """The name of an image without .tif, .ome.tif or .png."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem


def _pair(images: list[Path], masks: Path, classes: bool) -> dict[Path, Path]:
    """The mask of each image; every image has one, and every mask an image."""

    def keyed(files: list[Path]) -> dict[tuple[str, str], Path]:
        result: dict[tuple[str, str], Path] = {}
        for file in files:
            key = (file.parent.name if classes else "", stem(file))
            if key in result:
                raise DataError(f"{result[key]} and {file}", "one file of a name beside masks", "rename one of them")
            result[key] = file
        return result

    of_image, of_mask = keyed(images), keyed(find_images(masks, classes)[0])
    for have, lack, what, other in ((of_image, of_mask, "image", "mask"), (of_mask, of_image, "mask", "image")):
        alone = [str(file) for key, file in have.items() if key not in lack]
        if alone:
            raise DataError(
                f"{len(alone)} {what}s without {other}: {', '.join(alone[:3])}{', …' if len(alone) > 3 else ''}",
                f"a {other} of the same name for every {what}",
                f"add the {other}s, or move these {what}s elsewhere",
            )
    return {file: of_mask[key] for key, file in of_image.items()}


def _mask_axes(axes: str | None) -> str | None:
    """Axes of the masks of images with these axes: the same without channels."""
    return None if axes is None else "".join(a for a in axes.upper() if a not in "CS")


def _entries(root: Path, file: Path, images: list[ImageFile], masks: Sequence[ImageFile | None], label: int | None):
    """One entry for each image in a file."""
    if len(masks) != len(images):
        raise DataError(f"{len(masks)} series in the mask of {file}", f"{len(images)} as in the image", "add or remove")
    name = file.name if root.is_file() else str(file.relative_to(root))
    entries = []
    for image, mask in zip(images, masks):
        check_image(image)
        if mask is not None:
            check_mask(mask, image)
        several = len(images) * image.layout.number > 1
        for index in range(image.layout.number):
            part = f" [series {image.series}, image {index}]" if several else ""
            entries.append(Entry(name + part, name, image, index, mask, label))
    return entries


def _describe(image: ImageFile) -> str:
    kind = "colour samples" if "S" in image.layout.axes else "channel(s)"
    return f"{image.layout.image_shape[-1]} {kind}, axes {image.layout.image_axes[:-1]}, {image.dtype}"


def _rounded(image: ImageFile) -> tuple:
    """Pixel size to four digits, in its unit."""
    return image.unit, tuple(sorted((a, float(f"{v:.3e}")) for a, v in image.pixel_size.items() if a in "ZYX"))


def _agree(entries: list[Entry], key: Callable, describe: Callable[[ImageFile], str], also: str = "") -> None:
    first = entries[0]
    for entry in entries[1:]:
        if key(entry.image) != key(first.image):
            raise DataError(
                f"{first.image.path} ({describe(first.image)}) and {entry.image.path} ({describe(entry.image)})",
                "images of one kind in a folder",
                f"move one kind elsewhere {also}".strip(),
            )


def _stated(info: DataInfo, pixel_size: Sequence[float] | None, channel_names: Sequence[str] | None) -> DataInfo:
    """The info with what the user says in place of what the files say."""
    if pixel_size is not None:
        if len(pixel_size) != len(info.spatial) or not all(np.isfinite(s) and s > 0 for s in pixel_size):
            raise DataError(
                f"pixel_size {tuple(pixel_size)}", f"positive micrometres for {' '.join(info.spatial)}", "correct it"
            )
        info = info.replace(pixel_size=dict(zip(info.spatial, pixel_size)), unit="µm")
    if channel_names is not None:
        if len(channel_names) != info.channels:
            raise DataError(f"channel_names {tuple(channel_names)}", f"{info.channels} names", "name every channel")
        info = info.replace(channel_names=tuple(channel_names))
    return info
