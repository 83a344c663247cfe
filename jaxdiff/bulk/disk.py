"""Free space: looked at before a bulk run, and explained when it has run out."""

import math
import shutil

import numpy as np

from jaxdiff.bulk.job import Job
from jaxdiff.bulk.shards import records

SMALLEST = 0.25
"""Images hardly ever compress to less than this share of their bytes."""


class DiskFull(OSError):
    """No space is left; everything finished is kept."""


def check_space(job: Job) -> str | None:
    """A warning where the images that are left may not fit, None where they will. Raises DiskFull where they cannot."""
    images, written, raw = _so_far(job)
    left, free = raw * (job.num - images), shutil.disk_usage(job.out).free
    needed = left * written / (raw * images) if images else left * SMALLEST
    if free < needed:
        raise DiskFull(
            f"got {_mb(free)} of free space for {job.out}; expected {'' if images else 'at least '}{_mb(needed)} for the "
            f"{job.num - images} images that are left; to fix: free some space, or another --out"
        )
    if not images and free < left:
        return (
            f"{_mb(free)} are free for {job.out}, and the images are {_mb(left)} before compression: if the disk becomes "
            "full the run stops, and continues when there is space again"
        )
    return None


def full(job: Job, error: BaseException) -> DiskFull:
    """What to say when `error` was the lack of space."""
    images, written, raw = _so_far(job)
    needed = (written / images if images else raw) * (job.num - images)
    return DiskFull(
        f"got a full disk ({error}): {images} of {job.num} images, {_mb(written)}, are finished in {job.out}; expected room "
        f"for about {_mb(needed)} more; to fix: free that much and continue: {job.command}"
    )


def _so_far(job: Job) -> tuple[int, int, int]:
    """Finished images, their bytes on disk, and the bytes of one image in memory."""
    done = list(records(job.out))
    raw = math.prod(job.model.shape) * np.dtype(job.info.dtype).itemsize
    return sum(record.num for record in done), sum(file.bytes for record in done for file in record.files), raw


def _mb(amount: float) -> str:
    return f"{amount / 1e6:.1f} MB"
