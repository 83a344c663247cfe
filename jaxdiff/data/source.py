"""Sources: lists of records that can be read in any order, and wrappers of them.

A source has a length, an `info` and `source[i] -> record`, a dict with "image" (*spatial, C) and "name", and perhaps
"mask" (*spatial) int32, "label" int, and "file" where several records are of one file. Records are shared: nobody
writes into their arrays.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record, bin_image, bin_mask


class Source(Protocol):
    """What the loader, the split and the normaliser read from."""

    @property
    def info(self) -> DataInfo: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...


class Memory:
    """Images held in memory: (N, *spatial, C) or a list of (*spatial, C), with masks and labels or without."""

    def __init__(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        info: DataInfo,
        masks: Sequence[np.ndarray] | np.ndarray | None = None,
        labels: Sequence[int] | np.ndarray | None = None,
    ):
        self.images, self.info, self.masks, self.labels = images, info, masks, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Record:
        record: Record = {"image": self.images[index], "name": f"image {index}"}
        if self.masks is not None:
            record["mask"] = self.masks[index].astype(np.int32)
        if self.labels is not None:
            record["label"] = int(self.labels[index])
        return record


class Binned:
    """Each image and mask binned by `factor` in y and x, the pixel size multiplied."""

    def __init__(self, source: Source, factor: int):
        self.source, self.factor = source, factor
        self.info = source.info.binned(factor)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        record = {**record, "image": bin_image(record["image"], self.factor)}
        if "mask" in record:
            record["mask"] = bin_mask(record["mask"], self.factor)
        return record


class Subset:
    """Some records of a source, in the given order."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self.source, self.indices = source, tuple(int(i) for i in indices)
        self.info = source.info

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Record:
        return self.source[self.indices[index]]


class Region:
    """The same part of every image: `part` is a function from the spatial shape to a tuple of slices."""

    def __init__(self, source: Source, part: Callable[[tuple[int, ...]], tuple[slice, ...]]):
        self.source, self.part = source, part
        self.info = source.info

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        place = self.part(record["image"].shape[:-1])
        record = {**record, "image": record["image"][place]}
        if "mask" in record:
            record["mask"] = record["mask"][place]
        return record


class Cached:
    """Keeps the records read last, up to `limit` bytes of images and masks; a source that fits is read once."""

    def __init__(self, source: Source, limit: int):
        self.source, self.limit = source, limit
        self.info = source.info
        self._kept: OrderedDict[int, Record] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()  # the loader reads from several threads

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        record = self.source[index]
        with self._lock:
            if index not in self._kept:
                self._kept[index] = record
                self._bytes += _size(record)
            while self._bytes > self.limit:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        return record


class ImagesOf:
    """The images of a source alone, as the normaliser reads them."""

    def __init__(self, source: Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.source[index]["image"]


def _size(record: Record) -> int:
    return sum(value.nbytes for value in record.values() if isinstance(value, np.ndarray))
