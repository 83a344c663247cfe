"""Parallel recordings: the image, given the input that the data have beside it."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.pairs.varied import Scaled
from jaxdiff.data.patches import Record, pixel_factors
from jaxdiff.data.per_image import Blocks
from jaxdiff.data.sources.source import Source

FIX = "name the folder of the inputs, or choose pairs that are made from images alone"
Task = Literal["translate", "denoise", "super-resolve"]


@dataclass(frozen=True)
class Parallel(Scaled):
    """Diffuses the image, given its input as it was recorded: `Folder.inputs`, or `Synthetic.pairs`.

    Noise and exposure are those of the files, and nothing is corrected for. Inputs to `denoise` and `super-resolve` have
    the channels of the images, those to `denoise` their pixels as well; `translate` has any of another modality. With
    `per_image` the images to denoise and to super-resolve are on the grey scale of their inputs; those of another modality
    are not.
    Raises DataError for data without inputs, or with others.
    """

    task: Task = "translate"
    """What the trained model is for."""

    def __post_init__(self):
        super().__post_init__()
        if self.task not in get_args(Task):
            raise DataError(f"task={self.task!r}", " or ".join(get_args(Task)), 'task="denoise"')

    def fit(self, source: Source) -> "Parallel":
        factor = pixel_factors(self.prepare(source[0]), len(source.info.spatial))["input"]
        if self.task == "denoise" and max(factor) > 1:
            raise DataError(f"inputs of {factor} times fewer pixels", "as many to denoise", 'task="super-resolve"')
        return self._fitted(source, "input")

    def prepare(self, record: Record) -> Record:
        if "input" not in record:
            raise DataError(f"{record['name']} without an input", "one beside every image", FIX)
        return record if self.per_image is None else {**record, "blocks": Blocks.of(record["input"])}

    @property
    def on_input_scale(self) -> bool:
        """Whether what is diffused is on the grey scale of its input."""
        return self.task != "translate"

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        image, coarse = patch["image"], patch["input"]
        if self.per_image is None:
            return {"image": image, "input": coarse}
        scale = self.per_image.scale_of(patch["blocks"].values)
        return {"image": scale.forward(image) if self.on_input_scale else image, "input": scale.forward(coarse)}

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        if inputs is None:
            raise DataError("data without inputs beside the images", "such data for parallel pairs", FIX)
        if self.task != "translate" and inputs.channels != info.channels:
            raise DataError(
                f"inputs of {inputs.channels} channels to {self.task}, for images of {info.channels}",
                "the same channels",
                'task="translate", or leave channels out',
            )
        return info, self._seen(inputs)

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        return map, map
