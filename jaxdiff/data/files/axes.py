"""Axes of an array in a file, one letter each, to the (*spatial, C) of one image.

T  time       Z  depth     Y  rows    X  columns
P  position   C  channels  S  samples (the red, green and blue of one channel)

T and P (and the series of a file) are separate images; Z is a spatial axis; C and S become the channels. Letters come
from the file's metadata or from the user, never from the shape of the array.
"""

from dataclasses import dataclass

import numpy as np

from jaxdiff.data.errors import DataError, UnreadableError

SEPARATE = "TP"
CHANNELS = "CS"
KNOWN = SEPARATE + "ZYX" + CHANNELS


@dataclass(frozen=True)
class Layout:
    """The axes and shape of an array in a file, checked: Y and X once, no letter twice, not both C and S."""

    axes: str
    shape: tuple[int, ...]

    @property
    def number(self) -> int:
        """The number of separate images."""
        return int(np.prod([n for a, n in zip(self.axes, self.shape) if a in SEPARATE], dtype=int))

    @property
    def image_axes(self) -> str:
        """ "YXC" or "ZYXC"."""
        return "ZYXC" if "Z" in self.axes else "YXC"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image (*spatial, C)."""
        sizes = dict(zip(self.axes, self.shape))
        return (*(sizes[a] for a in self.image_axes[:-1]), sizes.get("C", sizes.get("S", 1)))

    def separate_last(self) -> bool:
        """Whether an axis of separate images comes after one of the image itself."""
        first = next((i for i, a in enumerate(self.axes) if a not in SEPARATE), len(self.axes))
        return any(a in SEPARATE for a in self.axes[first:])

    def images(self, array: np.ndarray, *, copy: bool = True) -> np.ndarray:
        """The whole array as (number, *spatial, C), contiguous and in native byte order, or a view of it."""
        array = array.reshape(self.shape)
        axes = self.axes
        if not set(axes) & set(CHANNELS):
            array, axes = array[..., None], axes + "C"
        order = (
            [a for a in axes if a in SEPARATE] + [a for a in "ZYX" if a in axes] + [a for a in axes if a in CHANNELS]
        )
        array = array.transpose([axes.index(a) for a in order]).reshape(self.number, *self.image_shape)
        if not copy:
            return array
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def layout(where: str, of_file: str, shape: tuple[int, ...], of_user: str | None) -> Layout:
    """The layout of an array with axes `of_file` in its metadata ("Q" or "I" for unknown) or, first, `of_user`.

    Raises DataError, naming `where`, when neither tells, when `of_user` does not fit the shape, or has letters that are
    not in this module's table; UnreadableError for an array that is no image, and for such letters in the metadata.
    """
    if len(shape) < 2:
        raise UnreadableError(f"{where} of shape {shape}", "an image, of two axes or more", "save its rows and columns")
    axes = of_file if of_user is None else of_user.upper()
    if of_user is not None and len(axes) != len(shape):
        raise DataError(
            f"axes {of_user!r} for {where} of shape {shape}",
            f"{len(shape)} letters, one for each axis of the array (axes of length 1 left out)",
            _suggest(of_file, shape),
        )
    if of_user is None and set(axes) & set("QI"):
        raise DataError(
            f"{where} of shape {shape} whose metadata does not name all axes ({of_file})",
            "axes in its OME or ImageJ metadata, or given",
            _suggest(of_file, shape),
        )
    strange = [a for a in axes if a not in KNOWN]
    if strange or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) or {"C", "S"} <= set(axes):
        error = UnreadableError if of_user is None else DataError
        raise error(
            f"axes {axes!r} of {where}, shape {shape}",
            "Y and X, perhaps T, P, Z and one of C and S, each once",
            f"name them with axes=..., or save the file with fewer axes; {_suggest(of_file, shape)}",
        )
    return Layout(axes, tuple(shape))


def _suggest(of_file: str, shape: tuple[int, ...]) -> str:
    """What a user could have meant, in the words of `axes`."""
    if len(shape) == 2:
        return 'axes="YX"'
    if len(shape) == 3:
        if shape[-1] <= 4:
            return f'axes="YXC" ({shape[-1]} channels) or axes="YXS" (colour samples)'
        return (
            f'axes="CYX" ({shape[0]} channels), axes="ZYX" (a stack of {shape[0]} planes) '
            f'or axes="TYX" ({shape[0]} separate images)'
        )
    if len(shape) == 4:
        return 'for example axes="ZCYX", axes="CZYX", axes="TCYX" or axes="TZYX"'
    return f"axes= with {len(shape)} of the letters {KNOWN}"
