"""A data set of images seen through a kind of pairs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxdiff.data.dataset import FITTED, Dataset, evenly
from jaxdiff.data.levels import MOST, Levels, levels_of
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Inputs, Pairing, Pairs
from jaxdiff.data.patches import Record, check_whole
from jaxdiff.data.sources.source import Cached, Source


def paired(
    data: Dataset,
    pairs: Pairs,
    normaliser: Normaliser | None = None,
    pairing: Pairing | None = None,
    cache: int = 2**31,
    patch: Sequence[int] | None = None,
) -> Dataset:
    """The data set of pairs made from one of images.

    `normaliser` and `pairing` are those of a run that goes on; without them they are fitted on the training part, to one
    drawn pair of each whole image. `cache`: bytes of prepared images that are kept. `patch`: what will be cut, to be
    refused at once where the inputs have too large pixels for it.
    """
    fitted = pairs if pairing is None else pairing.pairs
    info, input_info = fitted.infos(data.info, data.input_info)
    fitted = fitted.fit(data.train) if pairing is None else fitted
    train, validation = (Cached(_Prepared(part, fitted), cache) for part in (data.train, data.validation))
    some = evenly(train, FITTED)
    images, inputs = _Drawn(some, fitted, "image"), _Drawn(some, fitted, "input")
    if pairing is None or normaliser is None:
        map, input_map = fitted.maps(data.map)
        factor = (1,) * len(info.spatial)
        if input_info is not None:
            factor = tuple(n // m for n, m in zip(images[0].shape[:-1], inputs[0].shape[:-1]))
        check_whole(() if patch is None else patch, factor, "pairs")
        normaliser = Normaliser.fit(images, map)
        pairing = Pairing(fitted)
        if input_info is not None:
            pairing = Pairing(fitted, Inputs(input_info, Normaliser.fit(inputs, input_map), factor))
    return replace(data, train=train, validation=validation, info=info, given=normaliser, pairing=pairing)


def with_levels(data: Dataset, patch: Sequence[int]) -> Dataset:
    """The data set with the grey levels of its training part, which a run keeps: of what is diffused and of inputs."""
    some, pairing = evenly(data.train, MOST), data.pairing
    inputs = None if pairing is None else pairing.inputs
    coarse = patch if inputs is None else tuple(-(-p // f) for p, f in zip(patch, inputs.factor))
    images, of_inputs = [], []
    for i in range(len(some)):
        record, rng = some[i], np.random.default_rng([2, i])
        pair = record if pairing is None else pairing.pairs.draw(record, rng)
        images.append(levels_of(pair["image"], patch, rng))
        if inputs is not None:
            of_inputs.append(levels_of(pair["input"], coarse, rng))
    if inputs is not None and pairing is not None:
        pairing = replace(pairing, inputs=replace(inputs, levels=Levels.over(of_inputs)))
    return replace(data, levels=Levels.over(images), pairing=pairing)


class _Prepared:
    """Every record of a source, prepared."""

    def __init__(self, source: Source, pairs: Pairs):
        self.source, self.pairs, self.info = source, pairs, source.info

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        return self.pairs.prepare(self.source[index])


class _Drawn:
    """ "image" or "input" of one drawn pair of each whole image; the same one every time."""

    def __init__(self, source: Source, pairs: Pairs, name: str):
        self.source, self.pairs, self.name = source, pairs, name

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pairs.draw(self.source[index], np.random.default_rng([2, index]))[self.name]
