"""`sample.py deconvolve`: the image behind a blurred and noisy one."""

from dataclasses import dataclass

from jaxdiff.commands.folders.options import parsed
from jaxdiff.commands.restoration.folder import restore_folder
from jaxdiff.commands.restoration.options import PsfOptions


@dataclass(frozen=True, kw_only=True)
class Deconvolve(PsfOptions):
    """Samples of the image behind every blurred and noisy one of a folder: their mean, and their standard deviation."""

    def __post_init__(self):
        super().__post_init__()
        if not self.blurs:
            raise ValueError(
                "got no PSF; expected one of --psf FILE, --psf-sigma PIXELS, --numerical-aperture with --emission; to fix: "
                "the optics are on the objective"
            )


def main(args: list[str], prog: str = "sample.py deconvolve") -> int:
    """The command: options from `args`; exit status."""
    options: Deconvolve = parsed(Deconvolve, args, prog)
    return restore_folder(options, lambda image, info: {"operator": options.blur(info, image.shape[:-1])})
