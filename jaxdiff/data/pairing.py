"""The form of a kind of pairs, and how a drawn pair becomes what the network sees."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.patches import Batch, Record, random_patch
from jaxdiff.data.sources.source import Source


class Pairs(Protocol):
    """A kind of pairs: a frozen dataclass of its settings.

    Records hold data units; a patch is a record of which every array was cut at the same place. A kind that cuts patches
    itself, as one that resizes them at random, has a further method `cut(record, patch, rng, augment, turn)` in place of
    `jaxdiff.data.patches.random_patch`.
    """

    @property
    def task(self) -> str:
        """What the trained model is for: the name of the command `sample.py TASK`."""
        ...

    def fit(self, source: Source) -> Any:
        """The same kind with the numbers that it takes from the training images filled in."""
        ...

    def prepare(self, record: Record) -> Record:
        """What needs a whole image, added to its record; computed once, then cached."""
        ...

    def draw(self, patch: Record, rng: np.random.Generator) -> Record:
        """The pair of a patch: "image" is diffused, "input" (*spatial or an integer part of it, C) is its condition."""
        ...

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo | None]:
        """What "image" and "input" of the pairs are; None: there is no input.

        info, inputs: of "image" and "input" in the data set's records; None: these have no input.
        """
        ...

    def maps(self, map: Map | MapName) -> tuple[Map | MapName, Map | MapName]:
        """Monotone maps (or their names) of "image" and "input" before scaling, where the data set's own is `map`."""
        ...


@dataclass(frozen=True)
class Inputs:
    """What the inputs of pairs are, and how they become network units."""

    info: DataInfo
    normaliser: Normaliser
    factor: tuple[int, ...]
    """Pixels of the image, along each axis, for one of the input."""
    levels: Levels | None = None
    """Grey levels of the inputs in training; None where they were not measured."""

    def forward(self, values: np.ndarray) -> np.ndarray:
        """An input (*spatial, C) in data units, in network units on the pixels of the image."""
        return spread(self.normaliser.forward(values), tuple(n * f for n, f in zip(values.shape, self.factor)))


@dataclass(frozen=True)
class Pairing:
    """Fitted pairs, and what their inputs are; None where there are none."""

    pairs: Pairs
    inputs: Inputs | None = None


def cut(
    record: Record,
    patch: tuple[int, ...],
    rng: np.random.Generator,
    pairing: Pairing | None = None,
    augment: bool = True,
    turn: bool = True,
) -> Record:
    """A random patch of a record, as the pairs cut it, or `random_patch` does."""
    own = None if pairing is None else getattr(pairing.pairs, "cut", None)
    return (random_patch if own is None else own)(record, patch, rng, augment, turn)


def as_network(
    patch: Record, normaliser: Normaliser, pairing: Pairing | None = None, rng: np.random.Generator | None = None
) -> Batch:
    """A patch as the network sees it: normalised "image" and "input", int32 "mask" and "label", and
    float32 "augmentation", where there are such.

    With `pairing`, image and input are a pair drawn from the patch by `rng`; an input of fewer pixels is spread to the
    grid of the image.
    """
    result = {name: patch[name] for name in ("augmentation",) if name in patch}
    if pairing is not None:
        patch = pairing.pairs.draw(patch, np.random.default_rng(0) if rng is None else rng)
    result["image"] = normaliser.forward(patch["image"])
    if pairing is not None and pairing.inputs is not None:
        result["input"] = pairing.inputs.forward(patch["input"])
    if "mask" in patch:
        result["mask"] = np.ascontiguousarray(as_labels(patch["mask"], f"the mask of {patch.get('name', 'a patch')}"))
    if "label" in patch:
        result["label"] = np.asarray(patch["label"], np.int32)
    return result


def spread(image: np.ndarray, spatial: tuple[int, ...]) -> np.ndarray:
    """(*coarse, C) repeated to (*spatial, C), a whole number of times along each axis."""
    for axis, (have, want) in enumerate(zip(image.shape, spatial)):
        image = np.repeat(image, want // have, axis) if want != have else image
    return image
