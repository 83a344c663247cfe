"""Whether an image is of the kind that a model was trained on."""

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.units import MICROMETRES
from jaxdiff.data.info import DataInfo

TOLERANCE = 0.02
"""Relative difference of pixel sizes that no object shows."""


def check_kind(info: DataInfo, model: DataInfo, what: str) -> list[str]:
    """What a person should know of an image `info` before a model of images `model` sees it, one sentence each.

    That is another pixel size, with the factor, another integer type, and other channel names. What is unknown of either
    is not compared. Raises DataError, naming `what`, for other axes or channels.
    """
    if (info.axes, info.channels, info.colour) != (model.axes, model.channels, model.colour):
        raise DataError(
            f"{what} with {_described(info)}",
            f"{_described(model)}, as in the model's training",
            "give images of this kind, or a model of the other; --axes says what the metadata does not",
        )
    told = []
    factors = _factors(info, model)
    if any(abs(factor - 1) > TOLERANCE for factor in factors.values()):
        times = ", ".join(f"{factor:.3g} times in {axis}" for axis, factor in factors.items())
        told.append(
            f"the pixel size is not that of the model's training, but {times}; to fix: resize the image by this factor, or "
            "take a model of its pixel size"
        )
    of_model = np.dtype(model.dtype)
    if of_model.kind in "ui" and np.dtype(info.dtype) != of_model:
        told.append(f"pixels are {info.dtype}, those of the model's training {model.dtype}: is it the same scale?")
    named = [i.channel_names for i in (info, model) if i.channel_names != tuple(map(str, range(i.channels)))]
    if len(named) == 2 and named[0] != named[1]:
        told.append(f"channels are named {', '.join(named[0])}, those of the model {', '.join(named[1])}")
    return told


def _factors(info: DataInfo, model: DataInfo) -> dict[str, float]:
    """Size of the image's pixels over that of the model's, for the axes where both are known."""
    units = [MICROMETRES.get(i.unit or "µm") for i in (info, model)]
    if units[0] is None or units[1] is None:
        return {}
    pairs = {axis: (info.pixel_size[axis], model.pixel_size[axis]) for axis in info.spatial}
    return {
        a: own * units[0] / (its * units[1]) for a, (own, its) in pairs.items() if own is not None and its is not None
    }


def _described(info: DataInfo) -> str:
    return f"axes {info.spatial} and {info.channels} {'colour samples' if info.colour else 'channel(s)'}"
