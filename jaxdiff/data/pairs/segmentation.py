"""Segmentation: the signed distance of instances, given the image."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.distance import FromMasks, distance_info
from jaxdiff.data.patches import Record


@dataclass(frozen=True)
class Segmentation(FromMasks):
    """Diffuses the truncated signed distance of the instances in a mask, given the image."""

    task = "segment"

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        return {"image": patch["distance"], "input": patch["image"]}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        return distance_info(info), info

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return "linear", map
