"""Segmentation: the signed distance of instances, given the image."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Map
from jaxdiff.data.pairs.distance import TRUNCATION, with_distance
from jaxdiff.data.patches import Record
from jaxdiff.data.source import Source

DISTANCE = "signed distance"


@dataclass(frozen=True)
class Segmentation:
    """Diffuses the truncated signed distance of the instances in a mask, given the image."""

    truncation: float = TRUNCATION
    """Pixels from an outline at which the distance ends; a third of an object's width or less loses no seeds."""

    task = "segment"

    def fit(self, source: Source) -> "Segmentation":
        return self

    def prepare(self, record: Record) -> Record:
        return with_distance(record, self.truncation)

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        return {"image": patch["distance"], "input": patch["image"]}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        return distance_info(info), info

    def maps(self, map: Map) -> tuple[Map, Map]:
        return "linear", map


def distance_info(info: DataInfo) -> DataInfo:
    """The info of signed distances of images that are `info`."""
    return info.replace(channel_names=(DISTANCE,), colour=False, dtype="float32")
