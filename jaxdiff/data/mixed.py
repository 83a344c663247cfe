"""Several data sets as one: images of different microscopes, each with its share of what is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jaxdiff.data.dataset import Dataset
from jaxdiff.data.decoded import Normalised
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Chained, Source, Subset

REPEATED = 1000
"""Times that an image is drawn in an epoch, at most: an epoch is a list."""


class Part(Protocol):
    """A kind of data (`jaxdiff.data.config`)."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset: ...


@dataclass(frozen=True, kw_only=True)
class Mixed(Normalised):
    """Several data sets of one number of axes and channels, trained on and validated on together.

    Classes are known by their names: those of all parts, in the order in which they come.
    `normalise` and `camera` are those of this config; those of the parts are not read. What the parts do not agree on (pixel
    size, names of channels) is not known of the whole; integers become the widest type, classes of objects are those of all.
    """

    parts: tuple[Part, ...]
    """The data sets, each with its own split."""
    weights: tuple[float, ...] = ()
    """Share of the draws that is each part's; none: every image is drawn as often."""

    def __post_init__(self):
        super().__post_init__()
        if not self.parts or not all(callable(getattr(part, "open", None)) for part in self.parts):
            raise DataError(f"parts={self.parts}", "one kind of data or more", "parts=(Folder(...), BBBC039(...))")
        if self.weights and (len(self.weights) != len(self.parts) or not all(0 < w < np.inf for w in self.weights)):
            raise DataError(f"weights={self.weights}", f"{len(self.parts)} numbers above 0", "one for each of parts")

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        opened = [part.open(patch, seed) for part in self.parts]
        info, inputs = common_info([one.info for one in opened]), [one.input_info for one in opened]
        if inputs.count(None) not in (0, len(inputs)):
            raise DataError("inputs beside the images of some parts", "of all or of none", "leave them out")
        if normaliser is not None and normaliser.channels != info.channels:
            raise DataError(f"a normaliser of {normaliser.channels} channels", f"{info.channels}", "use the run's data")
        train, validation = (
            Chained([_named(source, number, info.class_names) for number, source in enumerate(sources)], info)
            for sources in ([one.train for one in opened], [one.validation for one in opened])
        )
        drawn = Subset(train, repeats([len(one.train) for one in opened], self.weights))
        return Dataset(
            drawn,
            validation,
            info,
            self.map,
            normaliser,
            skipped=tuple(text for one in opened for text in one.skipped),
            notes=tuple(text for one in opened for text in one.notes),
            input_info=None if None in inputs else common_info([one for one in inputs if one is not None]),
            recorded=(drawn, validation),
        )


def repeats(numbers: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Indices into the records of several parts, one part after the other: each at least once, as often as weights ask.

    numbers: of records of each part; weights: of each, or none, which takes every record once.
    """
    starts = np.cumsum([0, *numbers[:-1]]).tolist()
    if weights and not all(numbers):
        raise DataError(f"{list(numbers)} images of the parts", "one or more of each, with weights", "leave a part out")
    times = max(n / w for n, w in zip(numbers, weights)) if weights else 0
    totals = [round(w * times) for w in weights] if weights else numbers
    if (most := max(total / max(n, 1) for n, total in zip(numbers, totals))) > REPEATED:
        raise DataError(
            f"weights={tuple(weights)}, by which each image of a part is drawn {most:.3g} times before others once",
            f"at most {REPEATED}",
            "weights nearer to each other",
        )
    return [start + k % n for start, n, total in zip(starts, numbers, totals) for k in range(max(n, total))]


def common_info(infos: Sequence[DataInfo]) -> DataInfo:
    """What all agree on, and the classes of all. Raises DataError for other axes, channels or colours, or classes of some."""
    first = infos[0]
    for one in infos:
        kinds = [(i.axes, i.channels, i.colour) for i in (first, one)]
        if kinds[0] != kinds[1]:
            raise DataError(f"parts with {kinds[0]} and {kinds[1]} (axes, channels, colour)", "one kind", "mix others")
    sizes = {axis: {(one.pixel_size[axis], one.unit) for one in infos} for axis in first.spatial}
    one_size = all(len(each) == 1 for each in sizes.values())
    if len({bool(one.class_names) for one in infos}) > 1:
        raise DataError(
            "parts with classes and parts without", "classes of all or of none", "classes=False, or mix others"
        )
    names = first.channel_names if len({one.channel_names for one in infos}) == 1 else map(str, range(first.channels))
    return first.replace(
        channel_names=tuple(names),
        pixel_size=first.pixel_size if one_size else {},
        unit=first.unit if one_size else None,
        dtype=np.result_type(*(one.dtype for one in infos)).name,
        synthetic=any(one.synthetic for one in infos),
        class_names=tuple(dict.fromkeys(name for one in infos for name in one.class_names)),
        object_classes=tuple(dict.fromkeys(name for one in infos for name in one.object_classes)),
    )


def _named(source: Source, number: int, class_names: Sequence[str]) -> Source:
    """The source, the names and groups of whose files are those of part `number`: two folders may hold one name. Labels are
    numbers of `class_names`."""
    if source.info.class_names and tuple(class_names) != source.info.class_names:
        source = _Relabelled(source, [class_names.index(name) for name in source.info.class_names])
    seen = getattr(source, "seen", None)
    if not seen:
        return source
    own = [one._replace(file=f"{number}/{one.file}", group=f"{number}/{one.group}") for one in seen]
    return Subset(source, range(len(source)), own)


class _Relabelled:
    """The records of a source with other numbers of the same classes."""

    def __init__(self, source: Source, numbers: Sequence[int]):
        self.source, self.numbers, self.info = source, tuple(numbers), source.info
        self.seen = getattr(source, "seen", ())

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        label = record.get("label", -1)  # below 0: of no class
        return {**record, "label": self.numbers[label]} if label >= 0 else record
