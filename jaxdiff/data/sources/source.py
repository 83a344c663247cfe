"""Sources: lists of records that can be read in any order, and wrappers of them.

A source has a length, an `info` and `source[i] -> record`, a dict with "image" (*spatial, C) and "name", and perhaps
"mask" (*spatial) int32, "classes", the name of the class of each object 1..n of the mask, "input" (*spatial or a whole
fraction of it, C'), "label" int, and "file" where several records are of one file. Records are shared: nobody writes into
their arrays.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record, bin_image, bin_mask, common_factor, crop, pixel_factors


class Source(Protocol):
    """What the loader, the split and the normaliser read from."""

    @property
    def info(self) -> DataInfo: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...


class Memory:
    """Images held in memory: (N, *spatial, C) or a list of (*spatial, C), with masks, labels, inputs and classes of objects
    or without."""

    def __init__(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        info: DataInfo,
        masks: Sequence[np.ndarray] | np.ndarray | None = None,
        labels: Sequence[int] | np.ndarray | None = None,
        inputs: Sequence[np.ndarray] | np.ndarray | None = None,
        classes: Sequence[Sequence[str]] | None = None,
    ):
        self.images, self.info, self.masks, self.labels, self.inputs = images, info, masks, labels, inputs
        self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Record:
        record: Record = {"image": self.images[index], "name": f"image {index}"}
        if self.masks is not None:
            record["mask"] = as_labels(self.masks[index], f"the mask of image {index}")
        if self.classes is not None:
            record["classes"] = tuple(self.classes[index])
        if self.labels is not None:
            record["label"] = int(self.labels[index])
        if self.inputs is not None:
            record["input"] = self.inputs[index]
        return record


class Binned:
    """Each image, mask and input binned by `factor` in y and x, the pixel size multiplied.

    Raises DataError, naming the image, where image and input would not cover the same field any more.
    """

    def __init__(self, source: Source, factor: int):
        self.source, self.factor = source, factor
        self.info = source.info.binned(factor)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        binned = {**record, "image": bin_image(record["image"], self.factor)}
        if "mask" in record:
            binned["mask"] = bin_mask(record["mask"], self.factor)
        if "input" in record:
            binned["input"] = bin_image(record["input"], self.factor)
            factor = pixel_factors(record, len(self.info.spatial))["input"]
            if any(n != f * m for n, m, f in zip(binned["image"].shape, binned["input"].shape, factor)):
                raise DataError(
                    f"{record['name']} with an input of {record['input'].shape[:-1]} pixels and binning={self.factor}",
                    "a multiple of the binning in y and x",
                    "crop image and input alike, or binning=1",
                )
        return binned


class Seen(NamedTuple):
    """Which file a record is of, and what was seen of it when it was checked (`jaxdiff.data.fingerprint`)."""

    file: str
    group: str
    """Of files that stay together in the split."""
    digest: str


class Subset:
    """Some records of a source, in the given order. seen: of each of them; default what the source has seen."""

    def __init__(self, source: Source, indices: Sequence[int], seen: Sequence[Seen] | None = None):
        self.source, self.indices = source, tuple(int(i) for i in indices)
        self.info = source.info
        of_source = getattr(source, "seen", None)
        if seen is None and of_source:
            seen = [of_source[i] for i in self.indices]
        self.seen = tuple(seen or ())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Record:
        return self.source[self.indices[index]]


class Chained:
    """The records of several sources of one kind, one source after the other; info: of all, default that of the first."""

    def __init__(self, sources: Sequence[Source], info: DataInfo | None = None):
        self.sources, self.info = tuple(sources), sources[0].info if info is None else info
        self.ends = [int(end) for end in np.cumsum([len(source) for source in sources])]
        self.seen = tuple(one for source in sources for one in getattr(source, "seen", ()))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Record:
        place = int(np.searchsorted(self.ends, index, side="right"))
        return self.sources[place][index - (self.ends[place - 1] if place else 0)]


class Region:
    """The same part of every image: `part` is a function from the spatial shape to a tuple of slices.

    Where an input has larger pixels, the bounds move inwards to where one of these begins.
    """

    def __init__(self, source: Source, part: Callable[[tuple[int, ...]], tuple[slice, ...]]):
        self.source, self.part = source, part
        self.info = source.info
        self.seen: tuple[Seen, ...] = getattr(source, "seen", ())

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        spatial = record["image"].shape[:-1]
        factors = pixel_factors(record, len(spatial))
        bounds = [place.indices(n) for place, n in zip(self.part(spatial), spatial)]
        inner = [slice(-(-a // f) * f, b // f * f) for (a, b, _), f in zip(bounds, common_factor(factors))]
        return crop(record, tuple(inner), factors)


class Cached:
    """Keeps the records read last, up to `limit` bytes of their arrays; a source that fits is read once."""

    def __init__(self, source: Source, limit: int):
        self.source, self.limit = source, limit
        self.info = source.info
        self._kept: OrderedDict[int, Record] = OrderedDict()
        self._bytes = 0
        self._lock = Shared()  # the loader reads from several threads

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


class Shared:
    """A lock that stays behind when its owner is copied to another process, which gets a new one."""

    def __init__(self):
        self._lock = threading.Lock()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *error):
        return self._lock.__exit__(*error)

    def __reduce__(self):
        return Shared, ()


def _size(record: Record) -> int:
    return sum(getattr(value, "nbytes", 0) for value in record.values())
