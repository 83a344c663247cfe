"""`sample.py denoise` with an unconditional model: the image behind a noisy one."""

from dataclasses import dataclass

from jaxdiff.tasks.folder_options import parsed
from jaxdiff.tasks.restoration.folder import restore_folder
from jaxdiff.tasks.restoration.options import RestoreOptions


@dataclass(frozen=True, kw_only=True)
class Denoise(RestoreOptions):
    """Samples of the image behind every noisy one of a folder: their mean, and their standard deviation."""


def main(args: list[str], prog: str = "sample.py denoise") -> int:
    """The command: options from `args`; exit status."""
    return restore_folder(parsed(Denoise, args, prog), lambda image, info: {})
