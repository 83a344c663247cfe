"""One exposure for the whole plate, as a microscope has it: how clean fields become photons, and photons noisy fields.

For super-resolution the same light falls on larger pixels, through a blur.

Fixed on train, before anything else is measured: the 1st percentile of all pixels (grey level 130) is 'no light', and
the 99.8th percentile of what is above it is P photons, P the same for every field. Dim fields so get fewer photons than
bright ones. The fields' own camera noise (about 5 grey levels) is part of the truth that is asked for, and cannot be
predicted by anybody; at 100 photons a photon is 12.5 grey levels, so it lies well below the noise that is added.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.tasks.fields import Field
from jaxdiff.data.pairs import Denoising, SuperResolution
from jaxdiff.metrics import data_range
from jaxdiff.physics.camera import Camera

Pairs = Denoising | SuperResolution
PHOTONS = {"segmentation": (None,), "denoising": (10, 30, 100), "super-resolution": (100, 300, 1000)}
"""What the bright pixels of a recording get, for each task; None: the fields are used as they are."""
FACTOR, PSF = (2, 2), (1.5, 1.5)
"""Of super-resolution: pixels that become one, and the standard deviation of the blur in pixels of the field."""
READ_NOISE = 2.0
"""Electrons."""
DARK, BRIGHT = 1.0, 99.8
"""Percentiles over all pixels of train."""


def plate(train: Sequence[Field], task: str = "denoising") -> Pairs:
    """The pairs of a task with the offset and the bright level of all pixels of train."""
    offset, bright = np.percentile(np.concatenate([field.image.ravel() for field in train]), (DARK, BRIGHT))
    photons = float(min(PHOTONS[task])), float(max(PHOTONS[task]))
    levels: dict[str, float] = {"offset": float(offset), "peak": float(bright - offset)}
    if task == "super-resolution":
        return SuperResolution(FACTOR, PSF, photons, READ_NOISE, **levels)
    return Denoising(photons, READ_NOISE, **levels)


def intensity_range(train: Sequence[Field]) -> float:
    """The range of PSNR and SSIM: from the 0.1st to the 99.9th percentile of all pixels of train."""
    return float(data_range([field.image for field in train]))


def camera(pairs: Pairs, photons: int) -> Camera:
    """The camera that records `photons` photons at the bright level; its units are the grey levels of the plate."""
    assert pairs.peak is not None
    return Camera(gain=pairs.peak / photons, offset=pairs.offset or 0.0, read_noise=pairs.read_noise)


def noisy(pairs: Pairs, field: Field, photons: int) -> np.ndarray:
    """What the camera records of a field (Y, X), or of it binned, in grey levels, float32, neither rounded nor kept above 0.

    It is the same every time: the noise depends on the field's name and the photons only. Light below the offset counts
    as none.
    """
    rng = np.random.default_rng([zlib.crc32(field.name.encode()), photons])
    return pairs.record(rng, field.image[..., None], photons)[..., 0]


def to_json(pairs: Pairs) -> dict[str, Any]:
    """Everything that fixes the noise."""
    return {
        "offset": pairs.offset,
        "peak": pairs.peak,
        "read_noise": pairs.read_noise,
        "percentiles": [DARK, BRIGHT],
    }
