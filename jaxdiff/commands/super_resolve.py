"""`sample.py super-resolve`: the image of more pixels behind every coarse one of a folder."""

from dataclasses import dataclass

from jaxdiff.commands.estimates import EstimateOptions, estimate_folder
from jaxdiff.commands.folders.options import has_unconditional_run, parsed
from jaxdiff.tasks.super_resolve import super_resolve


@dataclass(frozen=True, kw_only=True)
class SuperResolve(EstimateOptions):
    """The image of more pixels behind every coarse one of a folder, with the standard deviation of its samples."""


def main(args: list[str], prog: str = "sample.py super-resolve") -> int:
    """The command: options from `args`; exit status. Of a run of images alone: `restoration/super_resolve.py`."""
    if has_unconditional_run(args):
        from jaxdiff.commands.restoration.super_resolve import main as restoration

        return restoration(args, prog)
    return estimate_folder(parsed(SuperResolve, args, prog), "super-resolve", super_resolve)
