"""A folder of images, with its masks, inputs and classes, as a list of entries that agree with each other."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError, UnreadableError, unreadable
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import Entry, Files, check_image, check_mask, info_of, inspect
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.info import DataInfo
from jaxdiff.data.names import key, printable
from jaxdiff.data.sources.class_tables import ClassTruth, KnownClasses
from jaxdiff.data.sources.find import check_forms, find_images, key_of, keyed, pair
from jaxdiff.data.sources.inputs import check_input, factor_of_all, input_info


@dataclass(frozen=True)
class Listing:
    """What was found: the readable images as a source, why files were left out, and files of other kinds by suffix.

    `notes` say what of the files is left out or cannot be used, each once with the number of files.
    `input_info` is what the inputs are, None without any; one of their pixels covers `factor` pixels of the image
    along each spatial axis.
    """

    source: Files
    skipped: tuple[str, ...] = ()
    ignored: Counter[str] = field(default_factory=Counter)
    input_info: DataInfo | None = None
    factor: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def list_folder(
    path: str | Path,
    masks: str | Path | None = None,
    axes: str | None = None,
    classes: bool = False,
    skip_unreadable: bool = False,
    pixel_size: Sequence[float] | None = None,
    channel_names: Sequence[str] | None = None,
    inputs: str | Path | None = None,
    input_axes: str | None = None,
    readers: Readers = BUILT_IN,
    mask_classes: ClassTruth | None = None,
) -> Listing:
    """List the images of a folder (or the one file `path`) from their headers, sorted by name.

    Args:
        masks: folder of label images of the same names (endings may differ), with the same sub-folders.
        axes: letters of jaxdiff.data.files.axes for files whose metadata do not say; they override what it says.
        classes: each sub-folder holds the images of one class, and gives it its name.
        pixel_size: micrometres (Y, X) or (Z, Y, X), in place of what the files say.
        inputs: folder of the same fields recorded otherwise, named as masks are: noisy, or of whole times fewer
            pixels along an axis (the same times in all files), of any channels. Records then hold "input".
        input_axes: letters for the inputs, where they are not those of `axes`.
        readers: of files of other formats, too.
        mask_classes: where the classes of the masks' objects come from. Records then hold "classes".

    Raises DataError for a folder that is missing, empty or cannot be listed, for images that differ in axes, dtype,
    channels or pixel size (inputs alike), and for masks or inputs that do not match the images. Raises
    UnreadableError, with their number and the first few, for damaged files and those of pixels that are no light, unless
    `skip_unreadable`, which leaves out the image with its mask and input.
    """
    root = Path(path)
    if inputs is None and input_axes is not None:
        raise DataError(f"input_axes={input_axes!r} without inputs", "both or neither", "name the folder of the inputs")
    if inputs is not None and Path(inputs).resolve() == root.resolve():
        raise DataError(f"{root} as images and as inputs", "two folders", "name the folder of the inputs")
    files, ignored = find_images(root, classes, readers)
    check_forms(root, files)
    labels_of = sorted({key(file.parent.name) for file in files}) if classes else []
    if mask_classes is not None and masks is None:
        raise DataError("classes of objects without masks", "both or neither", "name the folder of the masks")
    masks_of, known = _masks_of(files, masks, classes, mask_classes, readers)
    input_of = pair(files, Path(inputs), classes, "input", readers) if inputs is not None else {}
    entries: list[Entry] = []
    factors: list[tuple[int, ...]] = []
    skipped: list[UnreadableError] = []
    for file in files:
        try:
            images = inspect(file, axes, readers)
            mask_images = [inspect(mask, _mask_axes(axes), readers) for mask in masks_of[file]]
            input_images = (
                inspect(input_of[file], input_axes or axes, readers) if file in input_of else [None] * len(images)
            )
            for image in images:
                check_image(image)
        except UnreadableError as error:
            skipped.append(error)
            continue
        label = labels_of.index(key(file.parent.name)) if classes else None
        new = _entries(root, file, images=images, masks=mask_images, inputs=input_images, label=label)
        if known is not None:
            of_objects = known.of_image[key_of(file, classes, readers)]
            new = [replace(entry, classes=of_objects) for entry in new]
        factors += [check_input(entry.input, entry.image) for entry in new if entry.input is not None]
        entries += new
    notes = _notes([one for entry in entries for one in (entry.image, *entry.masks, entry.input) if one is not None])
    notes += () if known is None else known.notes
    if skipped and not (skip_unreadable and entries):
        raise unreadable(root, skipped, len(files))
    left_out = tuple(map(str, skipped))

    images = [entry.image for entry in entries]
    _agree_in_kind(images, "or state channel_names" if channel_names is None else None)
    input_files = [entry.input for entry in entries if entry.input is not None]
    if input_files:
        _agree_in_kind(input_files, "")
    if pixel_size is None:
        for kind in (images, input_files):
            _agree(kind, _rounded, lambda i: f"pixel size {dict(i.pixel_size)} {i.unit}", "or state pixel_size")
    synthetic = any(image.synthetic for image in images)
    info = info_of(images[0]).replace(class_names=tuple(labels_of), synthetic=synthetic)
    info = _stated(info, pixel_size, channel_names).replace(object_classes=() if known is None else known.names)
    if not input_files:
        return Listing(Files(entries, info), left_out, ignored, notes=notes)
    factor = factor_of_all(entries, factors)
    of_inputs = input_info(entries, info, factor, stated=pixel_size is not None)
    return Listing(Files(entries, info), left_out, ignored=ignored, input_info=of_inputs, factor=factor, notes=notes)


def _masks_of(
    files: list[Path], masks: str | Path | None, classes: bool, mask_classes: ClassTruth | None, readers: Readers
) -> tuple[dict[Path, list[Path]], KnownClasses | None]:
    """The masks of each image, and the classes of their objects."""
    if masks is None:
        return {file: [] for file in files}, None
    if mask_classes is None:
        return {file: [mask] for file, mask in pair(files, Path(masks), classes, "mask", readers).items()}, None
    folders = mask_classes.folders(Path(masks))
    kinds = ["mask" if folder == Path(masks) else f"{key(folder.name)} mask" for folder in folders]
    pairs = [pair(files, folder, classes, kind, readers) for folder, kind in zip(folders, kinds)]
    known = mask_classes.known(Path(masks), keyed(files, classes, "mask", readers))
    return {file: [of_class[file] for of_class in pairs] for file in files}, known


def _mask_axes(axes: str | None) -> str | None:
    """Axes of the masks of images with these axes: the same without channels."""
    return None if axes is None else "".join(a for a in axes.upper() if a not in "CS")


def _entries(
    root: Path,
    file: Path,
    images: list[ImageFile],
    masks: Sequence[Sequence[ImageFile]],
    inputs: Sequence[ImageFile | None],
    label: int | None,
) -> list[Entry]:
    """One entry for each image in a file. masks: of each file of masks its series."""
    for kind, others in (*(("mask", of_file) for of_file in masks), ("input", inputs)):
        if len(others) != len(images):
            raise DataError(
                f"{len(others)} series in the {kind} of {file}", f"{len(images)} as in the image", "add or remove"
            )
    name = key(file.name if root.is_file() else str(file.relative_to(root)))
    entries = []
    for image, input_file, *of_image in zip(images, inputs, *masks):
        for mask in of_image:
            check_mask(mask, image)
        several = len(images) * image.layout.number > 1
        for index in range(image.layout.number):
            part = f" [series {image.series}, image {index}]" if several else ""
            entries.append(
                Entry(name + part, name, image=image, index=index, masks=tuple(of_image), label=label, input=input_file)
            )
    return entries


def _notes(images: list[ImageFile]) -> tuple[str, ...]:
    """What the files' readers say, each sentence once."""
    files: dict[str, dict[Path, None]] = {}
    for image in images:
        for note in image.notes:
            files.setdefault(note, {})[image.path] = None
    return tuple(
        f"{printable(next(iter(paths)).name)}{f' and {len(paths) - 1} more files' if len(paths) > 1 else ''}: {note}"
        for note, paths in files.items()
    )


def _describe(image: ImageFile) -> str:
    kind = "colour samples" if "S" in image.layout.axes else "channel(s)"
    return f"{image.layout.image_shape[-1]} {kind}, axes {image.layout.image_axes[:-1]}, {image.dtype}"


def _rounded(image: ImageFile) -> tuple:
    """Pixel size to four digits, in its unit."""
    return image.unit, tuple(sorted((a, float(f"{v:.3e}")) for a, v in image.pixel_size.items() if a in "ZYX"))


def _agree_in_kind(images: list[ImageFile], also: str | None) -> None:
    """Axes, number and kind of channels, dtype and (unless `also` is None) channel names are the same."""
    _agree(images, lambda i: (i.layout.image_axes, i.layout.image_shape[-1], "S" in i.layout.axes, i.dtype), _describe)
    if also is not None:
        _agree(images, lambda i: i.channel_names, lambda i: f"channels {i.channel_names}", also)


def _agree(images: list[ImageFile], key: Callable, describe: Callable[[ImageFile], str], also: str = "") -> None:
    for image in images[1:]:
        if key(image) != key(images[0]):
            raise DataError(
                f"{images[0].path} ({describe(images[0])}) and {image.path} ({describe(image)})",
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
