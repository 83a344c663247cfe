"""The options of `sample.py deconvolve | denoise | super-resolve | inpaint | isotropic` with an unconditional model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.commands.estimates import EstimateOptions
from jaxdiff.commands.folders.as_read import read_once
from jaxdiff.commands.solver_options import solver_named
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import check_image
from jaxdiff.data.files.units import MICROMETRES
from jaxdiff.data.info import DataInfo
from jaxdiff.guidance.posterior import Method
from jaxdiff.model import Model
from jaxdiff.parts import at_place
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Convolution
from jaxdiff.physics.psf import Optics, confocal_psf, gaussian_psf, measured_psf, widefield_psf
from jaxdiff.tasks.restoration.restore import METHODS
from jaxdiff.tasks.sampled import Remat


def method_named(name: str) -> Method:
    """The method of posterior sampling called `name`, or what `package.module:Class` (or a function) is.

    Raises ValueError for an unknown one.
    """
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise ValueError(
            f"got method {name!r}; expected one of {', '.join(METHODS)}, or package.module:Class; to fix: choose one"
        )
    method: Any = at_place(name, "method")
    if not callable(method):
        raise ValueError(
            f"got method {name!r}, which cannot be called; expected a function of denoiser and measurement"
        )
    return method  # pyright: ignore[reportReturnType] - callable, as was asked above


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(EstimateOptions):
    """What all restorations by an unconditional model may be told."""

    calls: int = 20
    """Network calls for each sample."""
    eta: float | None = None
    """Noise of the solver, where it has an eta; default 1 for dpmpp."""
    method: str | None = None
    """How the recording guides sampling: diffpir, mmps, pigdm, dps, ddnm, or package.module:Class of your own; mmps, pigdm
    and dps take gradients of the network; default by what was recorded: mmps where pixels are missing, else diffpir
    (docs/posterior.md)."""
    remat: Remat = "all"
    """What these gradients compute again of large images: all, or all but convolutions (faster, more memory)."""
    gain: float | None = None
    """Grey levels per electron; default estimated from each image."""
    offset: float | None = None
    """Grey level without light."""
    read_noise: float | None = None
    """Standard deviation of the read noise, electrons."""
    exposure: float = 1.0
    """Light of the images over that of the training images; results are in the units of the latter."""
    saturation: float | None = None
    """Grey level from which a pixel is saturated and left out; default the end of an integer dtype."""
    pixel_size: tuple[float, ...] | None = None
    """µm along (Z) Y X, for files whose metadata do not say."""
    correct: bool = True
    """Scale the light of the result to that of the image, which noise of mean 0 leaves unchanged."""

    def __post_init__(self):
        super().__post_init__()
        if self.method is not None:
            method_named(self.method)
        if self.gain is None and self.offset is None and self.read_noise is not None:
            raise ValueError(
                "got --read-noise without --gain or --offset; expected one of them; to fix: add --offset to have the gain "
                "estimated, or leave it out"
            )
        if self.gain is not None and self.offset is None:
            raise ValueError("got --gain without --offset; expected both; to fix: --offset 0 where dark pixels are 0")
        if not 0 < self.exposure < np.inf:
            raise ValueError(f"got exposure={self.exposure}; expected a number above 0; to fix: --exposure 0.1")
        if self.exposure != 1 and self.offset is None:
            raise ValueError("got --exposure without --offset; expected both: the offset is no light")

    def named(self, run: str | Path | None = None) -> Any:
        """As of other tasks, but that dpmpp adds noise: see `restore`."""
        if self.solver in (None, "dpmpp") and self.fields["eta"] is None:
            fields: dict[str, Any] = {**self.fields, "eta": 1.0}
            return solver_named("dpmpp", **fields)
        return super().named(run)

    def solver_of(self, model: Model, guidance: float = 1.0) -> Any:
        """As `named`, whatever the model was trained for: posterior methods look at D, not at means over steps."""
        return super().solver_of(model, guidance) if self.solver == "tuned" else self.named(model.run)

    @property
    def camera(self) -> Camera | None:
        """The camera of images that are scaled to the exposure of the training; None to estimate it."""
        if self.gain is None:
            return None
        return Camera(gain=self.gain / self.exposure, offset=self.offset or 0.0, read_noise=self.read_noise or 0.0)

    def exposed(self, image: np.ndarray) -> np.ndarray:
        """`image` as it would be at the exposure of the training, float32."""
        offset = self.offset or 0.0
        return (offset + (image.astype(np.float64) - offset) / self.exposure).astype(np.float32)

    def seen(self, image: np.ndarray) -> np.ndarray:
        """False for saturated pixels of a file's image."""
        end = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else np.inf
        return image < (end if self.saturation is None else self.saturation)

    def pixel_sizes(self, info: DataInfo) -> tuple[float, ...]:
        """µm along the spatial axes. Raises DataError where neither the file nor `pixel_size` says."""
        if self.pixel_size is not None:
            if len(self.pixel_size) != len(info.spatial):
                raise DataError(
                    f"--pixel-size {' '.join(map(str, self.pixel_size))}",
                    f"one for each of {info.spatial}",
                    "give these",
                )
            return self.pixel_size
        sizes, unit = [info.pixel_size[axis] for axis in info.spatial], MICROMETRES.get(info.unit or "µm")
        if unit is None or None in sizes:
            raise DataError(
                "an image whose pixel size is not known",
                f"µm along {info.spatial}",
                "give --pixel-size, such as 0.2 0.2",
            )
        return tuple(size * unit for size in sizes if size is not None)


@dataclass(frozen=True, kw_only=True)
class PsfOptions(RestoreOptions):
    """The point spread function: measured, Gaussian, or of the optics."""

    psf: Path | None = None
    """Image file of the measured PSF, background subtracted, its peak in the middle."""
    psf_sigma: tuple[float, ...] | None = None
    """Standard deviations of a Gaussian PSF, pixels: one for all axes, or one for each."""
    numerical_aperture: float | None = None
    """Of the objective; with --emission the PSF of the optics."""
    emission: float | None = None
    """Wavelength of the emitted light, µm."""
    refractive_index: float = 1.0
    """Of the immersion: 1 air, 1.33 water, 1.515 oil."""
    excitation: float | None = None
    """Wavelength of a confocal microscope's laser, µm; without it widefield."""
    pinhole: float = 0.0
    """Diameter of its pinhole in the plane of the sample, µm."""

    def __post_init__(self):
        super().__post_init__()
        sources = [self.psf, self.psf_sigma, self.numerical_aperture]
        if sum(value is not None for value in sources) > 1:
            raise ValueError("got several PSFs; expected one of --psf, --psf-sigma, --numerical-aperture")
        if (self.numerical_aperture is None) != (self.emission is None):
            raise ValueError("got one of --numerical-aperture and --emission; expected both or none")

    @property
    def blurs(self) -> bool:
        """Whether a PSF was given."""
        return not self.psf is self.psf_sigma is self.numerical_aperture is None

    def blur(self, info: DataInfo, size: tuple[int, ...], scale: tuple[int, ...] | None = None) -> Convolution:
        """The convolution on an image of `size`, whose pixels are those of `info` over `scale`.

        Raises ValueError for a PSF that is larger than the image or of other axes.
        """
        scale = (1,) * len(size) if scale is None else scale
        if self.psf is not None:
            psf = measured_psf(read_once(self.psf, check_psf, self.all_readers).pixels[..., 0])
        elif self.psf_sigma is not None:
            sigma = self.psf_sigma * len(size) if len(self.psf_sigma) == 1 else self.psf_sigma
            psf = gaussian_psf(sigma)
        else:
            assert self.numerical_aperture is not None
            assert self.emission is not None
            pixels = tuple(p / s for p, s in zip(self.pixel_sizes(info), scale))
            optics = Optics(
                numerical_aperture=self.numerical_aperture,
                emission=self.emission,
                refractive_index=self.refractive_index,
            )
            psf = (
                widefield_psf(optics, pixels)
                if self.excitation is None
                else confocal_psf(optics, excitation=self.excitation, pinhole=self.pinhole, pixel_size=pixels)
            )
        if psf.ndim != len(size) or any(k > n for k, n in zip(psf.shape, size)):
            raise ValueError(
                f"got a PSF of {' x '.join(map(str, psf.shape))} pixels for an image of {' x '.join(map(str, size))}; "
                "expected as many axes, and no more pixels; to fix: crop the PSF to where it is more than nothing"
            )
        return Convolution(jnp.asarray(psf, jnp.float32))


def check_psf(image: ImageFile) -> None:
    """Raises DataError for a file that is no PSF: numbers of colours, bits, or more than one channel."""
    check_image(image)
    if (channels := image.layout.image_shape[-1]) != 1:
        raise DataError(
            f"a PSF of {channels} channels in {image.path}", "one channel", "save that of the image's wavelength alone"
        )


def check_missing(image: ImageFile) -> None:
    """Raises DataError for numbers where white is zero: the file's 0, or the darkest, may be meant."""
    if image.inverted:
        raise DataError(
            f"--missing {image.path} where white is zero (photometric interpretation 0)",
            "a file that is 0 where pixels are seen",
            "save it with black as zero",
        )
