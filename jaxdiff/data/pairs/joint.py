"""Joint generation: the image and the signed distance of its instances, diffused together."""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.distance import DISTANCE, FromMasks
from jaxdiff.data.patches import Record


@dataclass(frozen=True)
class Joint(FromMasks):
    """Diffuses image and signed distance as channels of one picture: new images come with their own masks.

    The sign of the distance is the mask, its ridges are the instances; so the two are one channel.
    """

    task = "generate"

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        label = {"label": patch["label"]} if "label" in patch else {}
        image = np.concatenate([patch["image"].astype(np.float32), patch["distance"]], axis=-1)
        return {"image": image, **label}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, None]:
        return info.replace(channel_names=(*info.channel_names, DISTANCE), colour=False), None

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, "linear"
