"""`sample.py translate`: another modality of every image of a folder, such as a virtual stain."""

from dataclasses import dataclass

from jaxdiff.commands.estimates import EstimateOptions, estimate_folder
from jaxdiff.commands.folders.options import parsed
from jaxdiff.tasks.translate import translate


@dataclass(frozen=True, kw_only=True)
class Translate(EstimateOptions):
    """Another modality of every image of a folder, with the standard deviation of its samples."""


def main(args: list[str], prog: str = "sample.py translate") -> int:
    """The command: options from `args`; exit status."""
    return estimate_folder(parsed(Translate, args, prog), "translate", translate)
