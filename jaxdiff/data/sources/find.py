"""Which files of a folder are images, what they are called, and which mask or input belongs to each."""

from collections import Counter
from pathlib import Path

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import ZARR, refusal
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.names import is_hidden, key, printable

Key = tuple[str, str]
"""Folder (of images by class) and name without ending, by which what belongs together is found."""


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


def pair(images: list[Path], others: Path, classes: bool, kind: str, readers: Readers) -> dict[Path, Path]:
    """The mask (or another `kind`) of each image; every image has one, and every mask an image."""

    of_image = keyed(images, classes, kind, readers)
    of_other = keyed(find_images(others, classes, readers)[0], classes, kind, readers)
    for have, lack, what, other in ((of_image, of_other, "image", kind), (of_other, of_image, kind, "image")):
        alone = [str(file) for name, file in have.items() if name not in lack]
        if alone:
            raise DataError(
                f"{len(alone)} {what}s without {other}: {', '.join(alone[:3])}{', …' if len(alone) > 3 else ''}",
                f"a {other} of the same name for every {what}",
                f"add the {other}s, or move these {what}s elsewhere",
            )
    return {file: of_other[name] for name, file in of_image.items()}


def check_forms(root: Path, files: list[Path]) -> None:
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


def keyed(files: list[Path], classes: bool, kind: str, readers: Readers) -> dict[Key, Path]:
    """Files by what finds a `kind` for them. Raises DataError for two of one name."""
    result: dict[Key, Path] = {}
    for file in files:
        name = key_of(file, classes, readers)
        if name in result:
            raise DataError(f"{result[name]} and {file}", f"one file of a name beside {kind}s", "rename one")
        result[name] = file
    return result


def key_of(file: Path, classes: bool, readers: Readers) -> Key:
    """What masks and inputs of an image have in common with it."""
    return (key(file.parent.name) if classes else "", stem(file, readers))
