"""What is restored: clean images, how a microscope blurs and records them, and which prior knows images of their kind.

nuclei      fields of BBBC039, whose own camera noise is part of the truth that is asked for
synthetic   fields of the built-in microscope without noise: a known truth
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.tasks import exposure, fields
from jaxdiff.data.sources.synthetic import Microscope
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Convolution
from jaxdiff.physics.psf import gaussian_psf

Kind = Literal["nuclei", "synthetic"]
SIGMA = 2.0
"""Standard deviation of the blur, pixels."""
PHOTONS = (30, 100, 300)
"""Of bright pixels before the blur."""
SIZE = 160
"""Side of the part of a field that is restored; its surroundings blur into it."""
READ_NOISE = 2.0
SEED = {"dev": 1001, "val": 1002}
"""Of synthetic fields, none of which a prior was trained on."""


@dataclass(frozen=True)
class Truth:
    """A clean image (SIZE, SIZE), and the field around it (Y, X), in grey levels; `group` for intervals."""

    name: str
    group: str
    image: np.ndarray
    around: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Truths, and the light levels that photons are counted between."""

    truths: Sequence[Truth]
    offset: float
    peak: float
    """Grey levels between no light and bright pixels."""

    def camera(self, photons: int) -> Camera:
        """That records `photons` at the bright level."""
        return Camera(gain=self.peak / photons, offset=self.offset, read_noise=READ_NOISE)

    def recording(self, truth: Truth, photons: int, size: int = SIZE, blurred: bool = True) -> np.ndarray:
        """(size, size, 1) in grey levels, the same every time."""
        camera = self.camera(photons)
        light = np.maximum(truth.around - self.offset, 0)[..., None]
        if blurred:
            light = np.asarray(blur(1.0)(jnp.asarray(light, jnp.float32)))
        rng = np.random.default_rng([zlib.crc32(truth.name.encode()), photons])
        return camera.record(rng, np.maximum(fields.middle(light, size), 0) / camera.gain)


def blur(width: float) -> Convolution:
    """The convolution with a PSF `width` times as wide as the true one."""
    return Convolution(jnp.asarray(gaussian_psf((SIGMA * width,) * 2), jnp.float32))


def problem(kind: Kind, data: Path | None, split: Literal["dev", "val"], num: int) -> Problem:
    """`num` truths of a split. Raises DataError where the fields are not there."""
    if kind == "synthetic":
        scope = Microscope()
        simulated = scope.fields(jax.random.key(SEED[split]), num, (SIZE + 32, SIZE + 32))
        clean = np.asarray(simulated.clean)[..., 0].astype(np.float64)
        truths = [Truth(f"{split}{i}", str(i), fields.middle(c, SIZE), c) for i, c in enumerate(clean)]
        return Problem(truths, scope.offset, scope.gain * scope.electrons)
    assert data is not None
    plate = exposure.plate(fields.load(data, "train", None))
    assert plate.offset is not None
    assert plate.peak is not None
    loaded = fields.load(data, split, num)
    truths = [
        Truth(f.name, f.well, fields.middle(f.image, SIZE).astype(np.float64), f.image.astype(np.float64))
        for f in loaded
    ]
    return Problem(truths, plate.offset, plate.peak)
