"""Which class each object of each image is of: CSV tables beside masks, a folder a class, or names of values.

A table has a header with the columns label and class, and image where it is of several images; other columns are not read,
so that the `_objects.csv` of `sample.py segment` are such tables. Commas, semicolons or tabs part the columns.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.object_classes import ByLabel, ByMask, ByValue, ObjectClasses
from jaxdiff.data.names import is_hidden, key, printable
from jaxdiff.data.sources.find import Key

ALONE: Key = ("", "")
"""Under which a table of one image has its rows."""
LIMIT = 2**28
"""Bytes of a table, at most."""


@dataclass(frozen=True)
class KnownClasses:
    """The classes of the objects of many images."""

    of_image: Mapping[Key, ObjectClasses]
    """Of every image."""
    names: tuple[str, ...]
    """All classes."""
    notes: tuple[str, ...] = field(default=())
    """What a person should know of their source."""


class ClassTruth(Protocol):
    """Where the classes of objects come from."""

    def folders(self, masks: Path) -> list[Path]:
        """The folders of masks, each with one for every image."""
        ...

    def known(self, masks: Path, images: Mapping[Key, Path]) -> KnownClasses:
        """The classes of the objects of every image, given its file. Raises DataError where they are not known."""
        ...


@dataclass(frozen=True)
class ClassTables:
    """A table of all images, or a folder of one table for each: NAME.csv or NAME_objects.csv, NAME that of the image."""

    path: Path

    def folders(self, masks: Path) -> list[Path]:
        return [masks]

    def known(self, masks: Path, images: Mapping[Key, Path]) -> KnownClasses:
        of_image, unused, what = (self._one_each if self.path.is_dir() else self._one_of_all)(images)
        names = sorted({name for labels in of_image.values() for name in labels.names.values()})
        if not names:
            raise DataError(
                f"{self.path} without a class of these images", "rows of label and class", "name the right table"
            )
        first = f"{', '.join(unused[:3])}{', …' if len(unused) > 3 else ''}"
        notes = (f"{printable(self.path.name)}: {len(unused)} {what}, not read ({first})",) if unused else ()
        return KnownClasses(of_image, tuple(names), notes)

    def _one_each(self, images: Mapping[Key, Path]) -> tuple[dict[Key, ByLabel], list[str], str]:
        files: dict[str, Path] = {}
        for path in sorted(one for one in self.path.glob("*.csv") if not is_hidden(one)):
            other = files.setdefault(key(path.stem.removesuffix("_objects")), path)
            if other != path:
                raise DataError(f"{other} and {path}", "one table for each image", "leave one out")
        names = [name for _, name in images]
        if twice := sorted(str(file) for (_, name), file in images.items() if names.count(name) > 1):
            raise DataError(
                f"{' and '.join(twice[:3])} with a folder of tables", "one image of a name", "one table of all images"
            )
        lacking = [str(file) for one, file in images.items() if one[1] not in files]
        if lacking:
            raise DataError(
                f"{len(lacking)} images without a table of classes in {self.path}: {', '.join(lacking[:3])}"
                f"{', …' if len(lacking) > 3 else ''}",
                "NAME.csv (or NAME_objects.csv) for every image, NAME that of the image",
                "add the tables; of an image without objects the header is enough",
            )
        of_image = {one: ByLabel(read_table(files[one[1]], False)[ALONE], str(files[one[1]])) for one in images}
        unused = [file.name for name, file in files.items() if name not in {one[1] for one in images}]
        return of_image, unused, "tables of other images"

    def _one_of_all(self, images: Mapping[Key, Path]) -> tuple[dict[Key, ByLabel], list[str], str]:
        tables = read_table(self.path, True)
        rows_of = {one: _rows_of(one, tables, images, self.path) for one in images}
        of_image = {one: ByLabel(tables.get(rows, {}), str(self.path)) for one, rows in rows_of.items()}
        unused = ["/".join(filter(None, rows)) for rows in tables if rows not in rows_of.values()]
        return of_image, unused, "images of the table that are not there"


@dataclass(frozen=True)
class ClassFolders:
    """Masks of each class in a folder that is named after it."""

    def folders(self, masks: Path) -> list[Path]:
        if not masks.is_dir():
            raise DataError(f"{masks}, which is no folder", "one folder of masks for each class", "correct the path")
        shown = [path for path in masks.iterdir() if not is_hidden(path)]
        folders = sorted((path for path in shown if path.is_dir()), key=lambda path: key(path.name))
        stray = sorted(path.name for path in shown if not path.is_dir())
        if not folders or stray:
            raise DataError(
                f"{masks} with {len(folders)} folders" + (f" and files ({', '.join(stray[:3])})" if stray else ""),
                "one folder of masks for each class, named after it, and nothing beside them",
                "move the masks of a class to masks/CLASS",
            )
        return folders

    def known(self, masks: Path, images: Mapping[Key, Path]) -> KnownClasses:
        classes = ByMask(tuple(key(folder.name) for folder in self.folders(masks)))
        return KnownClasses(dict.fromkeys(images, classes), classes.names)


@dataclass(frozen=True)
class ClassValues:
    """Masks of classes of pixels, by "VALUE=NAME"."""

    values: tuple[str, ...]

    def folders(self, masks: Path) -> list[Path]:
        return [masks]

    def known(self, masks: Path, images: Mapping[Key, Path]) -> KnownClasses:
        names = self.names()
        note = "objects are connected pieces of a value in the masks: those of one class that touch are one"
        return KnownClasses(dict.fromkeys(images, ByValue(names)), tuple(names.values()), (note,))

    def checked(self) -> "ClassValues":
        """Itself. Raises as `names`."""
        self.names()
        return self

    def names(self) -> dict[int, str]:
        """The class of each value. Raises DataError for other text, and for a value or name that comes twice."""
        names: dict[int, str] = {}
        for text in self.values:
            value, _, name = text.partition("=")
            if not (value.strip().isdecimal() and int(value) > 0 and name.strip()):
                raise DataError(
                    f"class_values with {text!r}", "VALUE=NAME, the value above 0", '("1=nucleus", "2=debris")'
                )
            if int(value) in names or key(name.strip()) in names.values():
                raise DataError(f"class_values with {text!r}, of a value or name before", "each once", "leave one out")
            names[int(value)] = key(name.strip())
        return names


def _rows_of(image: Key, tables: Mapping[Key, dict[int, str]], images: Mapping[Key, Path], path: Path) -> Key:
    """Under which name a table has the rows of an image: its own, or that in any folder where no other image is meant."""
    if image in tables:
        return image
    named = [rows for rows in tables if rows[1] == image[1] and rows not in images]
    if len(named) > 1 or (named and sum(other[1] == image[1] for other in images) > 1):
        rows = ", ".join("/".join(filter(None, one)) for one in named)
        raise DataError(
            f"{path} with rows of {rows}, any of which may be {images[image]}",
            "one name for each image",
            "write the image's folder and name in its rows, and leave those of other images out",
        )
    return named[0] if named else image


def _name(image: str) -> Key:
    path = Path(image.replace("\\", "/"))
    name = path.name
    for end in (".tiff", ".tif", ".png"):
        if name.lower().endswith(end):
            name = name[: -len(end)]
            break
    name = name[:-4] if name.lower().endswith(".ome") else name
    return key(path.parent.name), key(name)


def read_table(path: Path, several: bool) -> dict[Key, dict[int, str]]:
    """{image: {label: class}} of a table; of a table of one image under `ALONE`.

    several: it has a column of images. Raises DataError, naming the line, for what is no table of classes.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise DataError(f"{path} of more than {LIMIT} bytes", "a table of objects", "leave out other columns")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}, which cannot be read ({error})", "a CSV file in UTF-8", "save it so") from error
    header = text.partition("\n")[0]
    delimiter = next((one for one in ",;\t" if one in header), ",")
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = ["image", "label", "class"] if several else ["label", "class"]
    if lacking := [name for name in columns if name not in (rows.fieldnames or ())]:
        raise DataError(
            f"{path} with columns {', '.join(rows.fieldnames or ()) or 'none'}",
            f"{', '.join(columns)} among them",
            f"name the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)} in its first line",
        )
    tables: dict[Key, dict[int, str]] = defaultdict(dict)
    for row in rows:
        image, label, name = (
            printable((row[c] or "").strip()) if c in columns else "" for c in ("image", "label", "class")
        )
        where = f"{path}, line {rows.line_num}"
        label = label.removesuffix(".0")  # as tables of floats have it
        if not label.isdecimal() or not int(label):
            raise DataError(f"{where}, with label {label!r}", "a whole number above 0, as in the mask", "correct it")
        if several and not image:
            raise DataError(f"{where}, object {label} of no image", "the image's name", "write it")
        if not name:
            raise DataError(f"{where}, object {label} without a class", "its name", "write it, or leave out the row")
        classes = tables[_name(image)]
        if classes.setdefault(int(label), key(name)) != key(name):
            raise DataError(
                f"{where}, object {label} as {name} and as {classes[int(label)]}", "one class", "leave one out"
            )
    return dict(tables) if several else {ALONE: tables[ALONE]}
