"""What the header of a file says of each image in it, before a pixel is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxdiff.data.files.axes import Layout


@dataclass(frozen=True)
class ImageFile:
    """One series of images in a file: layout, dtype, and what is known of channels and pixel size.

    `channel_names` is () and the values of `pixel_size` are missing where the file does not say. `notes` are what a person
    should know: what of the file is left out, and what it says that cannot be used.
    """

    path: Path
    series: int
    layout: Layout
    dtype: str
    channel_names: tuple[str, ...] = ()
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    palette: bool = False
    """Pixels are numbers of colours: labels perhaps, but no light."""
    inverted: bool = False
    """White is zero in the file; `read` gives light."""
    pixels: Any = field(default=None, compare=False, repr=False)
    """Where its reader finds the pixels."""
    reader: Any = field(default=None, compare=False, repr=False)
    """The `jaxdiff.data.files.readers.Reader` that it is of."""
    state: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    """Bytes and time of change of the file that the header was read from."""
