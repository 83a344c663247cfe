"""Lengths as a person types them: pixels, or micrometres where the file says how large its pixels are."""

import re
from dataclasses import dataclass
from typing import Literal

from jaxdiff.data.files.units import MICROMETRES
from jaxdiff.data.info import DataInfo

SAMPLE = "18 (pixels), or 12um"


@dataclass(frozen=True)
class Length:
    """A length in the plane of an image."""

    number: float
    unit: Literal["px", "um"]

    def pixels(self, info: DataInfo) -> float:
        """In pixels of an image of `info`. Raises ValueError for micrometres where y or x pixels have no one known size."""
        if self.unit == "px":
            return self.number
        sizes, unit = {info.pixel_size[axis] for axis in "YX"}, MICROMETRES.get(info.unit or "µm")
        size = sizes.pop()
        if sizes or size is None or unit is None:
            raise ValueError(
                f"got {self.number:g} µm, for pixels of {info.pixels}; expected one known size in y and x; to fix: give the "
                "length in pixels, or write the pixel size into the file"
            )
        return self.number / (size * unit)


def length_of(text: str) -> Length:
    """The length that a text such as "18", "18px" or "12um" means. Raises ValueError for another."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(px|pixels?|um|µm|μm|microns?)?\s*", text)
    if match is None or not 0 < float(match[1]) < float("inf"):
        raise ValueError(f"got the length {text!r}; expected {SAMPLE}; to fix: a number above 0 with or without a unit")
    return Length(float(match[1]), "px" if match[2] is None or match[2].startswith("p") else "um")
