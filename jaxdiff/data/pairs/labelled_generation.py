"""Labelled generation: the image, given the signed distance of its instances and perhaps its class."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.distance import FromMasks, distance_info
from jaxdiff.data.patches import Record


@dataclass(frozen=True)
class LabelledGeneration(FromMasks):
    """Diffuses the image, given its instances: the reverse of segmentation.

    The condition is the signed distance and not a binary mask, so that instances that touch stay two.
    """

    task = "generate"

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        label = {"label": patch["label"]} if "label" in patch else {}
        return {"image": patch["image"], "input": patch["distance"], **label}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        return info, distance_info(info)

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, "linear"
