"""Segmentation: the signed distance of instances, and perhaps their classes, given the image."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.distance import FromMasks, class_channels, distance_info, signed_distance
from jaxdiff.data.pairs.varied import Varied
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Source


@dataclass(frozen=True)
class Segmentation(FromMasks, Varied):
    """Diffuses the truncated signed distance of the instances in a mask, given the image.

    With `size` the distance is that of the resampled mask, in resampled pixels. With `classes` there is a further channel for
    each, 1 within its objects and 0 elsewhere.
    """

    classes: tuple[str, ...] = ()
    """Names of all classes of objects in the data, in the order of the channels; none: objects have no class."""

    task = "segment"

    def __post_init__(self):
        FromMasks.__post_init__(self)
        Varied.__post_init__(self)
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice or not all(self.classes):
            raise DataError(f"classes={self.classes}", "names, each once", "leave it out where objects have no class")

    def fit(self, source: Source) -> "Segmentation":
        lacking = [name for name in self.classes if name not in source.info.object_classes]
        if lacking:
            raise DataError(
                f"classes {', '.join(lacking)} without an object in the data",
                f"some of {', '.join(source.info.object_classes)}",
                f"classes={source.info.object_classes}",
            )
        return self._fitted(source)

    def prepare(self, record: Record) -> Record:
        return super().prepare(self._prepared(record))

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        scale = self._scaled(patch["image"], patch.get("blocks"))
        image = patch["image"] if scale is None else scale.forward(patch["image"])
        return {"image": patch["distance"], "input": image}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        seen = self._seen(info)
        if self.classes:
            self._check_names(info.object_classes, "the data")
        return distance_info(seen, self.classes), seen

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return "linear", map

    @property
    def _margin(self) -> int:
        return int(np.ceil(self.truncation)) + 1

    def _with_margin(self, piece: Record) -> Record:
        return {**piece, "distance": self._distance(piece)}

    def _distance(self, record: Record) -> np.ndarray:
        distance = signed_distance(record["mask"], self.truncation)[..., None]
        if not self.classes:
            return distance
        names = record.get("classes", ())
        if record["mask"].max(initial=0) > len(names):
            raise DataError(f"{record['name']} with objects of no class", "the class of every object", CLASSES)
        self._check_names(names, record["name"])
        numbers = [self.classes.index(name) for name in names]
        return np.concatenate([distance, class_channels(record["mask"], numbers, len(self.classes))], axis=-1)

    def _check_names(self, names: tuple[str, ...], what: str) -> None:
        unknown = sorted(set(names) - set(self.classes))
        if unknown:
            raise DataError(
                f"objects of class {', '.join(unknown)} in {what}",
                f"one of {', '.join(self.classes)}, the classes of Segmentation",
                f"name it, too, or take its objects out of the masks: classes={(*self.classes, *unknown)}",
            )


CLASSES = "say where the classes are: Folder(mask_classes=, class_folders= or class_values=), or leave out classes"
