"""`sample.py super-resolve`: the image of more pixels behind every coarse one of a folder."""

from dataclasses import dataclass

from jaxdiff.commands.estimates import EstimateOptions, estimate_folder
from jaxdiff.commands.folders.options import by_run, parsed
from jaxdiff.commands.restoration import super_resolve as restoration
from jaxdiff.tasks.super_resolve import super_resolve


@dataclass(frozen=True, kw_only=True)
class SuperResolve(EstimateOptions):
    """The image of more pixels behind every coarse one of a folder, with the standard deviation of its samples."""


@dataclass(frozen=True, kw_only=True)
class AnySuperResolve(restoration.SuperResolveByPrior):
    """The image of more pixels behind every coarse one of a folder, with the standard deviation of its samples.

    By a run that was trained for it, or by one of images alone, which knows the factor from --factor, and alone takes a PSF
    and the options of camera, method and light.
    """

    calls: int | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Network calls for each sample; default 8 of a run that was trained for it, 20 of one of images alone."""

    def __post_init__(self):
        """Nothing: what is checked depends on the run."""


def main(args: list[str], prog: str = "sample.py super-resolve") -> int:
    """The command: options from `args`; exit status."""
    options = by_run(parsed(AnySuperResolve, args, prog), SuperResolve, restoration.SuperResolveByPrior)
    if isinstance(options, restoration.SuperResolveByPrior):
        return restoration.restored(options)
    return estimate_folder(options, "super-resolve", super_resolve)
