"""`sample.py isotropic`: the volume of equal voxels behind a stack of thick or distant slices, by a model of planes."""

from dataclasses import dataclass
from typing import Literal

from jaxdiff.commands.folders.options import parsed
from jaxdiff.commands.folders.over_folder import listed
from jaxdiff.commands.restoration.folder import product, restore_folder
from jaxdiff.commands.restoration.options import PsfOptions
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import info_of
from jaxdiff.physics.operators import Bin, Slices
from jaxdiff.tasks.restoration import volume

NEAR = 0.02
"""Relative distance of a ratio of pixel sizes from a whole number that is taken for it."""


@dataclass(frozen=True, kw_only=True)
class Isotropic(PsfOptions):
    """Samples of the volume of equal voxels behind every stack of a folder, by a model that was trained on planes.

    A PSF is 3-D, in the voxels of the result.
    """

    factor: int | None = None
    """Slices of the result for one of the stack; default from the pixel size."""
    slices: Literal["thick", "thin"] = "thick"
    """Each slice is the mean over `factor` of the result, or the first of them."""


def main(args: list[str], prog: str = "sample.py isotropic") -> int:
    """The command: options from `args`; exit status."""
    options: Isotropic = parsed(Isotropic, args, prog)
    factor = options.factor
    if factor is None:
        stack = listed(options.input, options.axes, options.all_readers)[0][0].readable()
        z, y, _ = options.pixel_sizes(info_of(stack))
        factor = round(z / y)
        if abs(z / y / max(factor, 1) - 1) > NEAR:
            raise DataError(
                f"slices {z / y:.3g} pixels apart", "a whole number", "give --factor, or resample the stack to one"
            )
    if factor < 1:
        raise ValueError(f"got --factor {factor}; expected 1 or more; to fix: --factor 4")

    def problem(image, info):
        size = (image.shape[0] * factor, *image.shape[1:-1])
        thin = Slices(tuple(range(0, size[0], factor)), size[0])
        inner = options.blur(info, size, (factor, 1, 1)) if options.blurs else None
        return {"operator": product(Bin((factor, 1, 1)) if options.slices == "thick" else thin, inner), "size": size}

    return restore_folder(options, problem, (factor, 1, 1), volume, together=1)
