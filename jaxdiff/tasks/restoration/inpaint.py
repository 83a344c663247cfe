"""`sample.py inpaint`: what missing pixels may have shown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.tasks.as_read import read_once
from jaxdiff.tasks.folder_options import parsed
from jaxdiff.tasks.restoration.folder import restore_folder
from jaxdiff.tasks.restoration.options import PsfOptions, check_missing


@dataclass(frozen=True, kw_only=True)
class Inpaint(PsfOptions):
    """Samples of the whole image behind every one of a folder with missing pixels; seen pixels are taken as noisy."""

    missing: Path | None = None
    """Image file that is not 0 where pixels are missing, the same for all images; default pixels that are NaN."""


def main(args: list[str], prog: str = "sample.py inpaint") -> int:
    """The command: options from `args`; exit status."""
    options: Inpaint = parsed(Inpaint, args, prog)
    missing = None if options.missing is None else read_once(options.missing, check_missing)[0] != 0

    def problem(image, info):
        if missing is not None and missing.shape[:-1] != image.shape[:-1]:
            raise DataError(
                f"--missing of {missing.shape[:-1]} pixels", f"{image.shape[:-1]}, as the image", "give one of its size"
            )
        if missing is not None and missing.shape[-1] not in (1, image.shape[-1]):
            raise DataError(
                f"--missing of {missing.shape[-1]} channels",
                f"one, or {image.shape[-1]} as the image",
                "save which pixels are missing, and not a picture of them",
            )
        seen = np.isfinite(image) if missing is None else ~missing & np.isfinite(image)
        if seen.all():
            raise DataError("an image that misses no pixel", "some", "give --missing FILE, or deconvolve or denoise it")
        blur = {"operator": options.blur(info, image.shape[:-1])} if options.blurs else {}
        # However few are missing, they are what was asked for.
        method = {"method": "mmps"} if options.method is None else {}
        return {"seen": seen, **blur, **method}

    return restore_folder(options, problem)
