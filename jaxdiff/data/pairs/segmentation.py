"""Segmentation: the signed distance of instances, given the image."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.distance import FromMasks, distance_info, signed_distance
from jaxdiff.data.pairs.varied import Varied
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Source


@dataclass(frozen=True)
class Segmentation(FromMasks, Varied):
    """Diffuses the truncated signed distance of the instances in a mask, given the image.

    With `size` the distance is that of the resampled mask, in resampled pixels.
    """

    task = "segment"

    def fit(self, source: Source) -> "Segmentation":
        return self._fitted(source)

    def prepare(self, record: Record) -> Record:
        return super().prepare(self._prepared(record))

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        scale = self._scaled(patch["image"], patch.get("blocks"))
        image = patch["image"] if scale is None else scale.forward(patch["image"])
        return {"image": patch["distance"], "input": image}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        seen = self._seen(info)
        return distance_info(seen), seen

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return "linear", map

    @property
    def _margin(self) -> int:
        return int(np.ceil(self.truncation)) + 1

    def _with_margin(self, piece: Record) -> Record:
        return {**piece, "distance": signed_distance(piece["mask"], self.truncation)[..., None]}
