"""A folder of images, with its masks, inputs and classes, as a list of entries that agree with each other."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError, UnreadableError, unreadable
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import ZARR, Entry, Files, check_image, check_mask, info_of, inspect, refusal
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.info import DataInfo
from jaxdiff.data.names import is_hidden, key, printable
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
    _check_forms(root, files)
    labels_of = sorted({key(file.parent.name) for file in files}) if classes else []
    mask_of = _pair(files, Path(masks), classes, "mask", readers) if masks is not None else {}
    input_of = _pair(files, Path(inputs), classes, "input", readers) if inputs is not None else {}
    entries: list[Entry] = []
    factors: list[tuple[int, ...]] = []
    skipped: list[UnreadableError] = []
    for file in files:
        try:
            images = inspect(file, axes, readers)
            mask_images = inspect(mask_of[file], _mask_axes(axes), readers) if file in mask_of else [None] * len(images)
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
        factors += [check_input(entry.input, entry.image) for entry in new if entry.input is not None]
        entries += new
    notes = _notes(
        [image for entry in entries for image in (entry.image, entry.mask, entry.input) if image is not None]
    )
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
    info = _stated(info, pixel_size, channel_names)
    if not input_files:
        return Listing(Files(entries, info), left_out, ignored, notes=notes)
    factor = factor_of_all(entries, factors)
    of_inputs = input_info(entries, info, factor, stated=pixel_size is not None)
    return Listing(Files(entries, info), left_out, ignored=ignored, input_info=of_inputs, factor=factor, notes=notes)


def find_images(root: Path, classes: bool = False, readers: Readers = BUILT_IN) -> tuple[list[Path], Counter[str]]:
    """Image files of a folder (or `root` itself, a file), sorted, and the count of other files by suffix.

    classes: those of its sub-folders instead. Files and folders that are hidden (`jaxdiff.data.names`) are none. What has
    the name of an image and is no file (a link to nothing, a folder, a pipe) is among the images, for its reader to refuse.
    Raises DataError for a folder that is missing or without images, and for one that is an OME-Zarr.
    """
    if root.name.lower().endswith(ZARR):
        raise refusal(root, readers)
    try:
        if not root.is_dir() and (root.is_symlink() or root.exists()):
            return [root], Counter()
        if not root.is_dir():
            raise DataError(f"{root}, which does not exist", "a folder of images", "correct the path")
        beneath = sorted((p for p in root.iterdir() if not is_hidden(p)), key=_order)
        below = [p for p in beneath if p.is_dir()]
        paths = (
            [p for folder in below for p in sorted(folder.iterdir(), key=_order) if not is_hidden(p)]
            if classes
            else beneath
        )
        named = [readers.suffix(p) is not None or p.suffix.lower() in ZARR for p in paths]
        others = [p for p, as_image in zip(paths, named) if not as_image and p.is_file()]
        beside = beneath if classes else [p for p, as_image in zip(paths, named) if not as_image]
        lost = [p.name for p in beside if p.is_symlink() and not p.exists()]
        stray = sum(classes and readers.suffix(p) is not None and p.is_file() for p in beneath)
    except OSError as error:
        raise DataError(f"{root}, which cannot be listed ({error})", "a readable folder", "check its rights") from error
    images = [p for p, as_image in zip(paths, named) if as_image]
    ignored = Counter(printable(p.suffix.lower() or p.name) for p in others)
    ignored.update(f"link to nothing ({printable(name)})" for name in lost)
    if stray:
        ignored["image beside the folders of classes"] = stray
    if not images:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in ignored.most_common(3)) or "nothing"
        within = bool(below) and not classes
        raise DataError(
            f"{root} without images (it holds {kinds}{' and sub-folders' if within else ''})",
            f"files ending in {', '.join(readers.suffixes)}"
            + (", in sub-folders named after classes" if classes else ""),
            "name the folder that holds them" + (", or say classes=True for one sub-folder a class" if within else ""),
        )
    return images, ignored


def _order(path: Path) -> tuple[str, Path]:
    """The same on disks that write é as one letter and as two."""
    return key(path.name), path


def stem(file: Path, readers: Readers = BUILT_IN) -> str:
    """The name of an image without .tif, .ome.tif or .png, in letters that any text may hold, é as one of them."""
    end = readers.suffix(file)
    name = file.stem if end is None else file.name[: -len(end)]
    return key(name[:-4] if name.lower().endswith(".ome") else name)


def _pair(images: list[Path], others: Path, classes: bool, kind: str, readers: Readers) -> dict[Path, Path]:
    """The mask (or another `kind`) of each image; every image has one, and every mask an image."""

    def keyed(files: list[Path]) -> dict[tuple[str, str], Path]:
        result: dict[tuple[str, str], Path] = {}
        for file in files:
            name = (key(file.parent.name) if classes else "", stem(file, readers))
            if name in result:
                raise DataError(f"{result[name]} and {file}", f"one file of a name beside {kind}s", "rename one")
            result[name] = file
        return result

    of_image, of_other = keyed(images), keyed(find_images(others, classes, readers)[0])
    for have, lack, what, other in ((of_image, of_other, "image", kind), (of_other, of_image, kind, "image")):
        alone = [str(file) for name, file in have.items() if name not in lack]
        if alone:
            raise DataError(
                f"{len(alone)} {what}s without {other}: {', '.join(alone[:3])}{', …' if len(alone) > 3 else ''}",
                f"a {other} of the same name for every {what}",
                f"add the {other}s, or move these {what}s elsewhere",
            )
    return {file: of_other[name] for name, file in of_image.items()}


def _check_forms(root: Path, files: list[Path]) -> None:
    """Raises DataError for two names that people see as one: everything that is kept by name would be of both."""
    first: dict[str, Path] = {}
    for file in files:
        other = first.setdefault(key(str(file.relative_to(root))), file)
        if other is not file:
            raise DataError(
                f"{other} twice, with é and the like as one letter and as two (NFC, NFD)",
                "one file of a name",
                "rename one",
            )


def _mask_axes(axes: str | None) -> str | None:
    """Axes of the masks of images with these axes: the same without channels."""
    return None if axes is None else "".join(a for a in axes.upper() if a not in "CS")


def _entries(
    root: Path,
    file: Path,
    images: list[ImageFile],
    masks: Sequence[ImageFile | None],
    inputs: Sequence[ImageFile | None],
    label: int | None,
) -> list[Entry]:
    """One entry for each image in a file."""
    for kind, others in (("mask", masks), ("input", inputs)):
        if len(others) != len(images):
            raise DataError(
                f"{len(others)} series in the {kind} of {file}", f"{len(images)} as in the image", "add or remove"
            )
    name = key(file.name if root.is_file() else str(file.relative_to(root)))
    entries = []
    for image, mask, input_file in zip(images, masks, inputs):
        if mask is not None:
            check_mask(mask, image)
        several = len(images) * image.layout.number > 1
        for index in range(image.layout.number):
            part = f" [series {image.series}, image {index}]" if several else ""
            entries.append(Entry(name + part, name, image=image, index=index, mask=mask, label=label, input=input_file))
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
