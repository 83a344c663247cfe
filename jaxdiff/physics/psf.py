r"""Point spread functions on a pixel grid, of sum 1: Gaussian, widefield and confocal from the optics, and measured ones.

Scalar diffraction by a circular pupil (Born & Wolf, Principles of Optics, section 8.8; for high apertures Richards & Wolf
1959, doi:10.1098/rspa.1959.0200, without polarisation). With ρ in [0, 1] over the pupil, k = 2π/λ and sin θ = NA ρ/n,

    U(r, z) = ∫ J0(k NA r ρ) exp(i k n z cos θ) ρ dρ,     h = |U|²

which at z = 0 is the Airy pattern [2 J1(v)/v]², v = k NA r. Confocal: the emission's pattern, averaged over the pinhole,
times that of the excitation (Wilson & Sheppard 1984). Computed in float64 on the host, at several points of each pixel.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

Psf = Float[np.ndarray, "*support"]
ENOUGH = 0.99
"""Share of the light from which nothing is said."""
WIDER = "a larger shape=, if the blur far from its middle matters"


def gaussian_psf(sigma: Sequence[float], reach: float = 4.0) -> Psf:
    """A Gaussian of `sigma` pixels along each spatial axis, integrated over pixels, to `reach` sigmas.

    Raises ValueError for negative sigmas.
    """
    if not len(sigma) or not all(0 <= s < np.inf for s in sigma):
        raise ValueError(f"got sigma={tuple(sigma)}; expected numbers of 0 or more, one for each spatial axis")
    result, mass = np.ones(()), 1.0
    for s in sigma:
        half = int(np.ceil(reach * s))
        edges = np.arange(-half, half + 2) - 0.5
        line = np.diff(special.ndtr(edges / s)) if s else np.ones(1)
        result, mass = result[..., None] * line, mass * line.sum()
    return _normalised(result, mass, "reach=4 holds 99.99 % along each axis")


@dataclass(frozen=True, kw_only=True)
class Optics:
    """A microscope objective. Lengths in µm."""

    numerical_aperture: float
    emission: float
    """Wavelength of the emitted light, in air."""
    refractive_index: float = 1.0
    """Of the immersion: 1 air, 1.33 water, 1.515 oil."""

    def __post_init__(self):
        if not 0 < self.numerical_aperture < self.refractive_index:
            raise ValueError(
                f"got numerical_aperture={self.numerical_aperture} with refractive_index={self.refractive_index}; expected "
                "it above 0 and below the index; to fix: 1.33 for water, 1.515 for oil"
            )
        if not 0.1 <= self.emission <= 2.0:
            raise ValueError(f"got emission={self.emission}; expected µm, from 0.1 to 2; to fix: 0.52 for 520 nm")


def widefield_psf(
    optics: Optics, pixel_size: Sequence[float], *, shape: Sequence[int] | None = None, oversampling: int = 5
) -> Psf:
    """The PSF of a widefield microscope on pixels of `pixel_size` µm, along Y X or Z Y X.

    shape: odd sizes; default to the fourth dark ring in the plane, and as far as a 3-D PSF spreads in it to twice the
    depth of field. oversampling: points along each axis of a pixel in the plane, whose mean it records.

    Rings fall off slowly: the default support holds some 96 % of a plane's light. What lies beyond is spread over the
    support, so that the sum is 1, and a warning says how much where it is more than 1 %.
    """
    shape = _shape(optics, pixel_size, shape)
    psf = _pixels(lambda r, z: _intensity(optics, optics.emission, r, z), pixel_size, shape, oversampling)
    # Every plane holds the light of the Airy pattern, 4π/(k NA)² at a peak of 1.
    plane = optics.emission**2 / (np.pi * optics.numerical_aperture**2)
    return _normalised(psf, _share(psf, pixel_size, [plane] * _planes(shape)), WIDER)


def confocal_psf(
    optics: Optics,
    *,
    excitation: float,
    pinhole: float,
    pixel_size: Sequence[float],
    shape: Sequence[int] | None = None,
    oversampling: int = 5,
) -> Psf:
    """The PSF of a confocal microscope; see `widefield_psf`.

    excitation: wavelength of the laser, µm. pinhole: its diameter in the plane of the sample, µm (what is on the
    instrument, divided by the magnification); 0 for an ideal point.
    """
    if not 0.1 <= excitation <= optics.emission:
        raise ValueError(
            f"got excitation={excitation}; expected µm, from 0.1 to the emission's {optics.emission}; to fix: 0.488"
        )
    if not 0 <= pinhole < np.inf:
        raise ValueError(f"got pinhole={pinhole}; expected a diameter of 0 or more, µm")
    shape = _shape(optics, pixel_size, shape)

    def both(r, z):
        return _intensity(optics, excitation, r, z) * _through_pinhole(optics, pinhole / 2, r, z)

    psf = _pixels(both, pixel_size, shape, oversampling)
    light = [_light(both, pixel_size, shape, z) for z in _heights(shape, pixel_size)]
    return _normalised(psf, _share(psf, pixel_size, light), WIDER)


def measured_psf(image: np.ndarray) -> Psf:
    """A recorded PSF, background subtracted, (*support): its sum made 1, which a warning says where it was not.

    Raises ValueError for even sizes, a brightest pixel that is not in the middle, and values that are negative or no numbers.
    """
    image = np.asarray(image, np.float64)
    if not all(n % 2 for n in image.shape):
        raise ValueError(
            f"got a PSF of shape {image.shape}; expected odd sizes, the centre in the middle; to fix: crop it"
        )
    if not np.isfinite(image).all() or (image < 0).any() or image.sum() <= 0:
        raise ValueError(
            f"got a PSF with values from {image.min():.3g} to {image.max():.3g}; expected none below 0, and light; to fix: "
            "subtract the background, and set what is below it to 0"
        )
    peak = tuple(int(p) for p in np.unravel_index(int(image.argmax()), image.shape))
    middle = tuple(n // 2 for n in image.shape)
    if any(abs(p - m) > 1 for p, m in zip(peak, middle)):
        raise ValueError(
            f"got a PSF with its peak at {peak}; expected {middle}, the middle; to fix: crop around the peak"
        )
    total = float(image.sum())
    if not np.isclose(total, 1.0, rtol=1e-3):
        warnings.warn(f"the PSF's sum was {total:.4g} and was made 1: light is neither lost nor won", stacklevel=2)
    return image / total


def _shape(optics: Optics, pixel_size: Sequence[float], shape: Sequence[int] | None) -> tuple[int, ...]:
    if len(pixel_size) not in (2, 3) or not all(0 < p < np.inf for p in pixel_size):
        raise ValueError(f"got pixel_size={tuple(pixel_size)}; expected µm along Y X or Z Y X; to fix: (0.1, 0.1)")
    if shape is None:
        across = 4.24 * optics.emission / (2 * optics.numerical_aperture)  # fourth zero of J1, 13.32 = 2π · 2.12
        n = optics.refractive_index
        depth = 2 * n * optics.emission / optics.numerical_aperture**2
        spread = depth * np.tan(np.arcsin(optics.numerical_aperture / n)) if len(pixel_size) == 3 else 0.0
        reach = (depth, across + spread, across + spread)[-len(pixel_size) :]
        return tuple(2 * int(np.ceil(far / size)) + 1 for far, size in zip(reach, pixel_size))
    if len(shape) != len(pixel_size) or not all(n % 2 for n in shape):
        raise ValueError(f"got shape={tuple(shape)}; expected {len(pixel_size)} odd sizes")
    return tuple(int(n) for n in shape)


def _pixels(intensity, pixel_size, shape, oversampling: int) -> np.ndarray:
    """The mean of a radial function (r, z) over each pixel in the plane, at the middle of each slice."""
    fine = (np.arange(oversampling) - (oversampling - 1) / 2) / oversampling
    y, x = (((np.arange(n) - n // 2)[:, None] + fine).ravel() * size for n, size in zip(shape[-2:], pixel_size[-2:]))
    radii, index = np.unique(np.round(np.hypot(y[:, None], x), 9), return_inverse=True)
    slices = []
    for z in _heights(shape, pixel_size):
        plane = intensity(radii, float(z))[index].reshape(len(y), len(x))
        slices.append(plane.reshape(shape[-2], oversampling, shape[-1], oversampling).mean(axis=(1, 3)))
    return np.stack(slices) if len(shape) == 3 else slices[0]


def _intensity(optics: Optics, wavelength: float, r: np.ndarray, z: float) -> np.ndarray:
    """|U|², 1 at the focus."""
    k, aperture, n = 2 * np.pi / wavelength, optics.numerical_aperture, optics.refractive_index
    if z == 0:
        v = k * aperture * r
        safe = np.where(v > 1e-8, v, 1.0)
        return np.where(v > 1e-8, (2 * special.j1(safe) / safe) ** 2, 1.0)
    turns = (k * aperture * r.max(initial=0.0) + k * abs(z) * n) / (2 * np.pi)
    points, weights = np.polynomial.legendre.leggauss(int(32 + 8 * turns))
    rho, weights = (points + 1) / 2, weights / 2
    phase = np.exp(1j * k * n * z * np.sqrt(1 - (aperture * rho / n) ** 2))
    field = special.j0(k * aperture * r[:, None] * rho) @ (phase * rho * weights)
    return np.abs(2 * field) ** 2


def _through_pinhole(optics: Optics, radius: float, r: np.ndarray, z: float) -> np.ndarray:
    """The emission's pattern averaged over a disc around r.

    A circle of radius s around the axis lies in the disc with the share φ/π, cos φ = (s² + r² − R²)/(2 s r): wholly for
    s < R − r, and in part from |R − r| to R + r.
    """
    if radius == 0:
        return _intensity(optics, optics.emission, r, z)
    per_wave = optics.numerical_aperture / optics.emission
    grid = np.linspace(0, r.max() + radius, 2 + int((r.max() + radius) * 256 * per_wave))
    pattern = _intensity(optics, optics.emission, grid, z)
    points, weights = np.polynomial.legendre.leggauss(int(24 + 16 * radius * per_wave))
    inner = np.maximum(radius - r, 0)[:, None]
    s = inner * (points + 1) / 2
    light = (np.interp(s, grid, pattern) * 2 * np.pi * s) @ weights * inner[:, 0] / 2
    turn = points * np.pi / 2  # smooth at both ends, where φ is not
    low, high = np.abs(radius - r)[:, None], (radius + r)[:, None]
    s = (low + high) / 2 + (high - low) / 2 * np.sin(turn)
    cosine = (s**2 + r[:, None] ** 2 - radius**2) / np.maximum(2 * s * r[:, None], 1e-30)
    partly = np.interp(s, grid, pattern) * 2 * s * np.arccos(np.clip(cosine, -1, 1)) * np.cos(turn)
    light += partly @ weights * (high - low)[:, 0] / 2 * np.pi / 2
    return light / (np.pi * radius**2)


def _planes(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 3 else 1


def _heights(shape: Sequence[int], pixel_size: Sequence[float]) -> np.ndarray:
    """Of the slices, µm from the focus."""
    return (np.arange(shape[0]) - shape[0] // 2) * pixel_size[0] if len(shape) == 3 else np.zeros(1)


def _light(intensity, pixel_size, shape, z: float) -> float:
    """Of a whole plane: the integral of a radial function to twice the support's corner, where it has fallen by r⁻⁶."""
    far = 2 * float(np.hypot(*(n * size for n, size in zip(shape[-2:], pixel_size[-2:]))))
    r = np.linspace(0.0, far, 4001)
    return float(np.trapezoid(intensity(r, float(z)) * 2 * np.pi * r, r))


def _share(psf: np.ndarray, pixel_size: Sequence[float], light: Sequence[float]) -> float:
    """Of the light of all planes, what lies in the pixels."""
    return float(psf.sum() * np.prod(np.asarray(pixel_size[-2:], np.float64)) / np.sum(light))


def _normalised(psf: np.ndarray, share: float, fix: str) -> Psf:
    """Of sum 1; a warning says which share of the light there was in the support, where some is missing."""
    if share < ENOUGH:
        size = " x ".join(map(str, psf.shape))
        warnings.warn(
            f"a PSF of {size} pixels holds {100 * share:.1f} % of the light of its planes, and was made 1: what lies beyond "
            f"was spread over it; to fix: {fix}",
            stacklevel=3,
        )
    return psf / psf.sum()
