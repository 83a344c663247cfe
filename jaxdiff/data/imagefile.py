"""What the header of a file says of each image in it, before a pixel is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jaxdiff.data.axes import Layout


@dataclass(frozen=True)
class ImageFile:
    """One series of images in a file: layout, dtype, and what is known of channels and pixel size.

    `channel_names` is () and the values of `pixel_size` are missing where the file does not say.
    """

    path: Path
    series: int
    layout: Layout
    dtype: str
    channel_names: tuple[str, ...] = ()
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    synthetic: bool = False
