"""`sample.py super-resolve` with an unconditional model: the image of more pixels behind a coarse one."""

from dataclasses import dataclass

from jaxdiff.commands.restoration.folder import product, restore_folder
from jaxdiff.commands.restoration.options import PsfOptions
from jaxdiff.physics.operators import Bin


@dataclass(frozen=True, kw_only=True)
class SuperResolveByPrior(PsfOptions):
    """Samples of the image of smaller pixels behind every one of a folder; a PSF is in these smaller pixels."""

    factor: tuple[int, ...] = (2,)
    """Pixels of the result for one of the image: one number for all axes, or one for each."""


def restored(options: SuperResolveByPrior) -> int:
    """The command; exit status."""
    axes = len(options.model("restoration").shape) - 1
    factor = options.factor * axes if len(options.factor) == 1 else options.factor
    if len(factor) != axes:
        raise ValueError(f"got --factor {options.factor}; expected one number, or {axes}; to fix: --factor 2")

    def problem(image, info):
        size = tuple(n * f for n, f in zip(image.shape, factor))
        blur = options.blur(info, size, factor) if options.blurs else None
        return {"operator": product(Bin(factor), blur), "size": size}

    return restore_folder(options, problem, factor)
