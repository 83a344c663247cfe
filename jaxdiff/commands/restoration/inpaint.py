"""`sample.py inpaint`: what missing pixels may have shown."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxdiff.commands.folders.as_read import read_once
from jaxdiff.commands.folders.options import parsed
from jaxdiff.commands.restoration.folder import restore_folder
from jaxdiff.commands.restoration.options import PsfOptions, check_missing
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.readers import BUILT_IN, Readers


@dataclass(frozen=True, kw_only=True)
class Inpaint(PsfOptions):
    """Samples of the whole image behind every one of a folder with missing pixels; seen pixels are taken as noisy."""

    missing: Path | None = None
    """Image file that is not 0 where pixels are missing, the same for all images; default pixels that are NaN."""


def main(args: list[str], prog: str = "sample.py inpaint") -> int:
    """The command: options from `args`; exit status."""
    options: Inpaint = parsed(Inpaint, args, prog)
    missing = None if options.missing is None else missing_pixels(options.missing, options.all_readers)

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
        if missing is not None and missing.mean() > 0.5:
            warnings.warn(
                f"--missing {options.missing} says that {int(missing.sum())} of {missing.size} pixels are missing; to fix: "
                "if these are the ones that were seen, invert it",
                stacklevel=2,
            )
        seen = np.isfinite(image) if missing is None else ~missing & np.isfinite(image)
        if seen.all():
            raise DataError("an image that misses no pixel", "some", "give --missing FILE, or deconvolve or denoise it")
        blur = {"operator": options.blur(info, image.shape[:-1])} if options.blurs else {}
        # However few are missing, they are what was asked for.
        method = {"method": "mmps"} if options.method is None else {}
        return {"seen": seen, **blur, **method}

    return restore_folder(options, problem)


def missing_pixels(path: Path, readers: Readers = BUILT_IN) -> Bool[np.ndarray, "*spatial channels"]:
    """Where a file of missing pixels is not 0.

    Raises DataError, with counts, for NaN, negative and fractional values, which mean neither.
    """
    values = read_once(path, check_missing, readers).pixels
    finite = np.isfinite(values)
    kinds = {
        "NaN or infinite": ~finite,
        "below 0": values < 0,
        "no whole numbers": finite & (values != np.trunc(values)),
    }
    if wrong := {kind: int(where.sum()) for kind, where in kinds.items() if where.any()}:
        examples = values[np.any([kinds[kind] for kind in wrong], axis=0)][:3]
        raise DataError(
            f"--missing {path} with {', '.join(f'{number} pixels {kind}' for kind, number in wrong.items())} (such as "
            f"{', '.join(f'{value:g}' for value in examples)}) of {values.size}",
            "0 where pixels are seen, 1 or another whole number above 0 where they are missing",
            "save (image > 0.5) or the like as 8-bit integers",
        )
    return values != 0
