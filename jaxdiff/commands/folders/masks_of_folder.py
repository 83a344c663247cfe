"""Instance masks from a folder, with images of the same names to start from, for `sample.py generate-labelled`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdiff.commands.folders.over_folder import Item, listed
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.files.read import check_image, check_one_label, info_of, read
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.info import DataInfo, check_kind
from jaxdiff.data.names import key
from jaxdiff.data.shown.mask_report import facts, suspicions


class Group(NamedTuple):
    """Images of one size that are made together."""

    names: list[str]
    masks: np.ndarray | None
    start: np.ndarray | None = None


@dataclass
class MasksOfFolder:
    """Files of masks, and of start images where there are some; what is wrong with one is kept, and the rest goes on.

    Raises DataError for folders without images, two masks of one name, and masks without a start image.
    """

    masks: Path
    start: Path | None
    info: DataInfo
    """Of the images that are made."""
    axes: str | None = None
    """Of files whose metadata do not say; masks have the same without channels."""
    num: int | None = None
    """How many of the masks; None for all."""
    readers: Readers = BUILT_IN
    failed: dict[str, str] = field(default_factory=dict)
    """Why a mask was left out, by name."""
    notes: dict[str, None] = field(default_factory=dict)
    """What a person should know of the files, each sentence once."""
    suspected: set[str] = field(default_factory=set)
    """Kinds of signs that masks are not of objects, of which one file was named."""
    items: list[Item] = field(init=False)

    def __post_init__(self):
        of_masks = None if self.axes is None else "".join(a for a in self.axes.upper() if a not in "CS")
        self.items = _named(listed(self.masks, of_masks, self.readers)[0])[: self.num]
        starts = [] if self.start is None else _named(listed(self.start, self.axes, self.readers)[0])
        self.starts = {key(item.name): item for item in starts}
        alone = [item.name for item in self.items if key(item.name) not in self.starts]
        if self.start is not None and alone:
            raise DataError(
                f"{len(alone)} masks without a start image in {self.start}: {', '.join(alone[:3])}",
                "an image of the same name for every mask",
                "add the images, or move these masks elsewhere",
            )

    def __len__(self) -> int:
        return len(self.items)

    def groups(self, most: int) -> Iterator[Group]:
        """The readable masks in the order of their names, neighbours of one size together, at most `most`."""
        waiting: list[tuple[str, np.ndarray, np.ndarray | None]] = []
        for item in self.items:
            try:
                mask = self._mask(item)
                start = self._start(self.starts[key(item.name)], mask.shape) if self.starts else None
            except (DataError, OSError) as error:
                self.failed[item.name] = str(error)
                continue
            if waiting and (waiting[0][1].shape != mask.shape or len(waiting) == most):
                yield _group(waiting)
                waiting = []
            waiting.append((item.name, mask, start))
        if waiting:
            yield _group(waiting)

    def _mask(self, item: Item) -> np.ndarray:
        image = item.readable()
        # Of masks only axes and pixel size count.
        plain = {"channel_names": ("0",), "colour": False, "dtype": "float32"}
        of_file = info_of(image)
        check_one_label(image, "")
        self._tell([f"{item.file.name}: {note}" for note in image.notes])
        self._tell(check_kind(of_file.replace(**plain), self.info.replace(**plain), str(item.file)))
        mask = as_labels(read(image, item.index)[..., 0], str(item.file))
        for kind, text in suspicions([facts(mask, item.file.name)]).items():
            if kind not in self.suspected:
                self._tell([text])
                self.suspected.add(kind)
        return mask

    def _start(self, item: Item, size: tuple[int, ...]) -> np.ndarray:
        image = item.readable()
        check_image(image)
        self._tell([f"{item.file.name}: {note}" for note in image.notes])
        self._tell(check_kind(info_of(image), self.info, str(item.file)))
        pixels = read(image, item.index)
        if pixels.shape[:-1] != size:
            raise DataError(f"{item.file} of {pixels.shape[:-1]} pixels", f"{size}, as its mask", "crop both alike")
        if not np.isfinite(pixels).all():
            raise DataError(f"{item.file} with NaN or infinite pixels", "finite numbers", "repair it")
        return pixels

    def _tell(self, texts: list[str]) -> None:
        self.notes |= dict.fromkeys(texts)


def _named(items: list[Item]) -> list[Item]:
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(key(item.name).lower(), item)  # some disks know no capitals
        if other is not item:
            raise DataError(f"{other.file.name} and {item.file.name}", "files of different names", "rename one of them")
    return items


def _group(waiting: list[tuple[str, np.ndarray, np.ndarray | None]]) -> Group:
    names, masks, start = zip(*waiting)
    return Group(list(names), np.stack(masks), None if start[0] is None else np.stack(start))
