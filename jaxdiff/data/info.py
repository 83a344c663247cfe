"""What is known of a data set besides its numbers: axes, channels, units, dtype; and whether two are of one kind."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.units import MICROMETRES
from jaxdiff.malformed import shown
from jaxdiff.schema import dataclass_of

DTYPES = ("bool", *(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)))
DTYPES += ("float16", "float32", "float64")
"""Of pixels: what NumPy calls numbers of one size."""
TOLERANCE = 0.02
"""Relative difference of pixel sizes that no object shows."""


@dataclass(frozen=True)
class DataInfo:
    """Axes, channel names, pixel size and dtype of images, kept from the input files to the output files.

    `axes` is "YXC" or "ZYXC", the order of the arrays; `colour` tells red, green and blue samples (S) from channels
    (C); `pixel_size` maps "Z", "Y", "X" to a size in `unit`, or to None where the files do not say (never 1.0);
    `dtype` is that of the files; `synthetic` marks rendered or generated images; `class_names[label]` names a label;
    `object_classes` are those of the objects in masks.
    Raises DataError for anything else.
    """

    axes: str = "YXC"
    channel_names: tuple[str, ...] = ("0",)
    colour: bool = False
    pixel_size: Mapping[str, float | None] = field(default_factory=dict)
    unit: str | None = None
    dtype: str = "uint16"
    synthetic: bool = False
    class_names: tuple[str, ...] = ()
    object_classes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.axes not in ("YXC", "ZYXC"):
            raise DataError(f"axes {self.axes!r}", '"YXC" or "ZYXC"', "order the axes of the arrays so")
        sizes = {axis: self.pixel_size.get(axis) for axis in self.axes[:-1]}
        unknown = set(self.pixel_size) - set(sizes)
        if unknown or any(size is not None and not 0 < size < float("inf") for size in sizes.values()):
            raise DataError(
                f"pixel_size {dict(self.pixel_size)} for axes {self.axes}",
                "a positive size, or None, for each of " + ", ".join(sizes),
                "leave out what is not known",
            )
        object.__setattr__(self, "pixel_size", {a: None if s is None else float(s) for a, s in sizes.items()})
        object.__setattr__(self, "channel_names", tuple(str(name) for name in self.channel_names))
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        object.__setattr__(self, "object_classes", tuple(str(name) for name in self.object_classes))
        if not self.channel_names:
            raise DataError("no channel names", "at least one", "name the channels")
        if self.dtype not in DTYPES:
            raise DataError(f"dtype {self.dtype!r}", f"one of {', '.join(DTYPES)}", "convert the images")

    @property
    def spatial(self) -> str:
        """The axes without channels: "YX" or "ZYX"."""
        return self.axes[:-1]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return len(self.channel_names)

    @property
    def pixels(self) -> str:
        """Pixel size in words: "Y 0.65 µm, X unknown"."""
        sizes = (f"{size:g} {self.unit or 'µm'}" if size else "unknown" for size in self.pixel_size.values())
        return ", ".join(f"{axis} {size}" for axis, size in zip(self.pixel_size, sizes))

    def replace(self, **changes: Any) -> "DataInfo":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def binned(self, factor: int) -> "DataInfo":
        """The info of images binned by `factor` in y and x: pixels that many times larger."""
        sizes = {a: s * factor if s is not None and a in "YX" else s for a, s in self.pixel_size.items()}
        return self.replace(pixel_size=sizes)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; `from_json` is its inverse. Without classes of objects it is as older versions wrote it."""
        values = dataclasses.asdict(self)
        if not self.object_classes:
            del values["object_classes"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DataInfo":
        """The info that `to_json` wrote. Raises ValueError, naming the field, for anything else."""
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or {*values, "object_classes"} != set(names):
            raise DataError(
                f"data info with {sorted(values) if isinstance(values, Mapping) else shown(values)}",
                f"{names}",
                "use the file as it was written",
            )
        return dataclass_of(cls, values, "data")


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
    lines = []
    factors = _factors(info, model)
    if any(abs(factor - 1) > TOLERANCE for factor in factors.values()):
        times = ", ".join(f"{factor:.3g} times in {axis}" for axis, factor in factors.items())
        lines.append(
            f"the pixel size is not that of the model's training, but {times}; to fix: resize the image by this factor, or "
            "take a model of its pixel size"
        )
    of_model = np.dtype(model.dtype)
    if of_model.kind in "ui" and np.dtype(info.dtype) != of_model:
        lines.append(f"pixels are {info.dtype}, those of the model's training {model.dtype}: is it the same scale?")
    named = [i.channel_names for i in (info, model) if i.channel_names != tuple(map(str, range(i.channels)))]
    if len(named) == 2 and named[0] != named[1]:
        lines.append(f"channels are named {', '.join(named[0])}, those of the model {', '.join(named[1])}")
    return lines


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
