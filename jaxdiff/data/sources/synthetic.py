"""A synthetic fluorescence microscope: fields of stained nuclei with known truth, as pure functions of a key.

    1. Nuclei (`phenotypes`) lie in a plane or volume larger than the field, so that its edges cut some of them.
    2. Each adds light to a sharp and to a hazy canvas: wide-field optics also collect what is out of focus.
    3. Expected electrons S = PSF * sharp + wide blur * hazy + background.
    4. The camera gives image = min(round(offset + gain * (min(Poisson(S), full well) + read noise)), 65535).

All lengths are micrometres and become pixels by `pixel_size_um`, so a change of objective changes the image alone.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float, Int, UInt16

from jaxdiff.data.sources.phenotypes import PHENOTYPES, Nucleus, Phenotype, draw_nucleus, light, reach_um
from jaxdiff.seeds import check_key

ABSENT = -1  # class of the unused places of `Field.classes`
LAYER_UM = 15.0  # depth of tissue that holds `density_per_mm2` nuclei, about one nucleus


class Field(NamedTuple):
    """One field of view, or several with a leading axis.

    `image` is what the camera gives, `clean` its expectation in the same units before saturation and rounding; `mask`
    numbers the nuclei in focus 1..n (0 = background, later nuclei cover earlier ones) and `classes[i]` is the class of
    nucleus i + 1, -1 beyond n; `label` is the phenotype that the field favours.
    """

    image: UInt16[Array, "*field 1"]
    clean: Float[Array, "*field 1"]
    mask: Int[Array, "*field"]
    classes: Int[Array, " most"]
    label: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Microscope:
    """Sample, optics and camera. The defaults (10x objective, 2 x 2 binning) put 2-6 nuclei of 10 px in 32 x 32.

    Raises ValueError at construction for a value without physical meaning.
    """

    pixel_size_um: float = 1.3
    """Edge of a camera pixel in the sample (µm)."""
    slice_spacing_um: float = 2.0
    """Distance between the slices of a stack (µm); unused for 2-D fields."""
    density_per_mm2: float = 2200.0
    """Mean number of nuclei per mm² of field, in focus or not; in a stack, per 15 µm of its depth."""
    purity: float = 0.9
    """Probability that a nucleus has the phenotype its field favours, and not any."""
    out_of_focus: float = 0.15
    """Fraction of nuclei far from the focal plane: haze without an entry in the mask."""
    haze: float = 0.25
    """Mean share of the light of a nucleus in focus that is spread widely."""
    haze_sigma_um: float = 6.0
    """Standard deviation of the widely spread light (µm)."""
    wavelength_um: float = 0.461
    """Emission wavelength (µm); 0.461 is Hoechst and DAPI."""
    numerical_aperture: float = 0.3
    """Numerical aperture of the objective (in air)."""
    electrons: float = 400.0
    """Expected electrons a pixel in the middle of a typical interphase nucleus."""
    background_electrons: float = 15.0
    """Expected electrons a pixel without any nucleus."""
    gain: float = 2.0
    """Grey levels per electron."""
    offset: float = 100.0
    """Grey level without light."""
    read_noise: float = 2.0
    """Standard deviation of the read noise (electrons)."""
    full_well: float = 30000.0
    """Electrons at which a pixel saturates."""
    phenotypes: tuple[Phenotype, ...] = PHENOTYPES
    """The classes, in the order of their numbers."""

    def __post_init__(self):
        positive = "pixel_size_um slice_spacing_um haze_sigma_um wavelength_um numerical_aperture gain full_well"
        for name in positive.split():
            if not getattr(self, name) > 0:
                raise ValueError(f"got {name}={getattr(self, name)}; expected a positive number; to fix: raise it")
        for name in ("density_per_mm2", "electrons", "background_electrons", "offset", "read_noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"got {name}={getattr(self, name)}; expected 0 or more; to fix: raise it")
        for name in ("purity", "out_of_focus", "haze"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"got {name}={getattr(self, name)}; expected a probability; to fix: 0..1")
        if not self.phenotypes:
            raise ValueError("got no phenotypes; expected at least one; to fix: phenotypes=PHENOTYPES")

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.phenotypes)

    def field(self, key: Array, size: tuple[int, ...]) -> Field:
        """One field of `size` pixels, (H, W) or (D, H, W). Raises ValueError for any other size."""
        check_key(key)
        return _field(self, key, _checked(size))

    def fields(self, key: Array, num: int, size: tuple[int, ...], chunk: int = 64) -> Field:
        """`num` fields, `chunk` of them at a time; field i is `field(fold_in(key, i), size)` whatever num and chunk."""
        check_key(key)
        if num < 1:
            raise ValueError(f"got num={num}; expected 1 or more; to fix: num=1")
        if chunk < 1:
            raise ValueError(f"got chunk={chunk}; expected 1 or more; to fix: chunk=64")
        return _fields(self, key, num, _checked(size), chunk)


def _checked(size: tuple[int, ...]) -> tuple[int, ...]:
    size = tuple(int(s) for s in size)
    if len(size) not in (2, 3) or min(size) < 1:
        raise ValueError(f"got size={size}; expected (H, W) or (D, H, W), each 1 or more; to fix: size=(64, 64)")
    return size


@functools.partial(jax.jit, static_argnames=("scope", "size"))
def _field(scope: Microscope, key: Array, size: tuple[int, ...]) -> Field:
    sample_key, camera_key = jax.random.split(key)
    electrons, mask, classes, label = expose(scope, sample_key, size)
    image = record(scope, camera_key, electrons)
    clean = scope.offset + scope.gain * electrons
    return Field(image[..., None], clean[..., None], mask, classes, label)


@functools.partial(jax.jit, static_argnames=("scope", "num", "size", "chunk"))
def _fields(scope: Microscope, key: Array, num: int, size: tuple[int, ...], chunk: int) -> Field:
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(num))
    return jax.lax.map(lambda k: _field(scope, k, size), keys, batch_size=min(num, chunk))


def record(scope: Microscope, key: Array, electrons: Float[Array, "*field"]) -> UInt16[Array, "*field"]:
    """The camera: photon and read noise, saturation at the full well, rounding to 16 bits.

    Below saturation the mean is offset + gain S and the variance gain² (S + read_noise²) + 1/12, S = `electrons`.
    """
    check_key(key)
    photon_key, read_key = jax.random.split(key)
    counts = jax.random.poisson(photon_key, electrons, dtype=jnp.int32).astype(jnp.float32)
    noise = scope.read_noise * jax.random.normal(read_key, electrons.shape, jnp.float32)
    levels = scope.offset + scope.gain * (jnp.minimum(counts, scope.full_well) + noise)
    return jnp.clip(jnp.round(levels), 0, 65535).astype(jnp.uint16)


def psf_sigmas_um(scope: Microscope, rank: int) -> tuple[float, ...]:
    """Gaussian of the same curvature as the paraxial wide-field PSF at its peak, along ([z], y, x), in air.

    Zhang, Zerubia and Olivo-Marin 2007, doi:10.1364/AO.46.001819: √2 / (k NA) across, 2√6 / (k NA²) along the axis.
    """
    wavenumber = 2 * math.pi / scope.wavelength_um
    across = math.sqrt(2) / (wavenumber * scope.numerical_aperture)
    along = 2 * math.sqrt(6) / (wavenumber * scope.numerical_aperture**2)
    return (across,) * 2 if rank == 2 else (along, across, across)


def blur(canvas: Float[Array, "*canvas"], sigmas: tuple[float, ...], size: tuple[int, ...]) -> Float[Array, "*field"]:
    """Gaussian blur integrated over pixels, then the central `size` of the canvas; one matrix product an axis.

    `sigmas` in pixels. Each source pixel's weights sum to one over an endless field: no light is made or lost.
    """
    for axis, (sigma, wide, out) in enumerate(zip(sigmas, canvas.shape, size, strict=True)):
        distance = np.arange(out)[:, None] + (wide - out) // 2 - np.arange(wide)
        upper, lower = (erf(jnp.asarray((distance + e) / (sigma * math.sqrt(2)), jnp.float32)) for e in (0.5, -0.5))
        product = jnp.tensordot(0.5 * (upper - lower), canvas, axes=(1, axis), precision="highest")
        canvas = jnp.moveaxis(product, 0, axis)
    return canvas


class _Geometry(NamedTuple):
    """Sizes in pixels that follow from the microscope and the field: all static."""

    pixel: np.ndarray  # µm along each axis
    margin: tuple[int, ...]  # nuclei lie up to this far outside the field
    half: tuple[int, ...]  # half a nucleus's window
    mean: float  # expected nuclei within the margin
    most: int  # places for nuclei; the Poisson count ends there, 5 standard deviations up (P < 1e-5)


def _geometry(scope: Microscope, size: tuple[int, ...]) -> _Geometry:
    pixel = np.array([scope.slice_spacing_um, scope.pixel_size_um, scope.pixel_size_um][-len(size) :], np.float32)
    reach = max(reach_um(p, len(size)) for p in scope.phenotypes)
    half = tuple(math.ceil(reach / p) + 1 for p in pixel)
    margin = tuple(math.ceil(max(reach, 2.5 * scope.haze_sigma_um) / p) for p in pixel)
    volume = np.prod((np.array(size) + 2 * np.array(margin)) * pixel, dtype=np.float64)  # area if 2-D
    mean = float(scope.density_per_mm2 / 1e6 * volume / (LAYER_UM if len(size) == 3 else 1.0))
    return _Geometry(pixel, margin, half, mean, math.ceil(mean + 5 * math.sqrt(mean)) + 3)


def expose(scope: Microscope, key: Array, size: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
    """Expected electrons (*size), mask (*size), classes (most,) and label () of one field."""
    check_key(key)
    geometry = _geometry(scope, size)
    rank, most = len(size), geometry.most
    sample_key, place_key, shape_key, count_key = jax.random.split(key, 4)
    kinds = len(scope.phenotypes)
    chances = jax.random.uniform(sample_key, (most + 1, 4), jnp.float32)
    label = _die(chances[most, 0], kinds)
    favoured, other, out, share = chances[:most].T
    classes = jnp.where(favoured < scope.purity, label, _die(other, kinds))
    present = jnp.arange(most) < jax.random.poisson(count_key, geometry.mean)
    focused = out >= scope.out_of_focus
    hazy = jnp.where(focused, jnp.clip(scope.haze * (0.6 + 0.8 * share), 0, 1), 1)
    span = np.array([s + 2 * m for s, m in zip(size, geometry.margin, strict=True)], np.float32)
    centres = _scatter(place_key, most, span * geometry.pixel) / geometry.pixel
    nuclei = jax.vmap(lambda k, c: draw_nucleus(k, scope.phenotypes, c, rank))(
        jax.random.split(shape_key, most), classes
    )

    sharp, wide, raw = _paint(geometry, nuclei, centres, present, focused, hazy, tuple(int(s) for s in span))
    psf = tuple(s / p for s, p in zip(psf_sigmas_um(scope, rank), geometry.pixel, strict=True))
    spread = tuple(scope.haze_sigma_um / p for p in geometry.pixel)
    total = blur(sharp, psf, size) + blur(wide, spread, size)
    mask, classes = _number(_crop(raw, size), classes, most)
    return scope.electrons * total + scope.background_electrons, mask, classes, label


def _die(chance: Array, sides: int) -> Array:
    return jnp.minimum(jnp.floor(chance * sides), sides - 1).astype(jnp.int32)


def _scatter(key: Array, most: int, span_um: np.ndarray) -> Float[Array, "most rank"]:
    """Random places (µm) that keep some distance, as cells do: the best of 3 candidates each (Mitchell 1991)."""
    candidates = jax.random.uniform(key, (most, 3, span_um.size), jnp.float32) * span_um

    def place(places, i):
        squares = jnp.sum((candidates[i, :, None] - places) ** 2, axis=-1)
        nearest = jnp.min(jnp.where(jnp.arange(most) < i, squares, jnp.inf), axis=1)
        return places.at[i].set(candidates[i, jnp.argmax(nearest)]), None

    return jax.lax.scan(place, jnp.zeros((most, span_um.size), jnp.float32), jnp.arange(most))[0]


def _paint(geometry: _Geometry, nuclei: Nucleus, centres, present, focused, hazy, span: tuple[int, ...]):
    """Add every nucleus, one after the other, to the sharp and the hazy canvas and to the mask (its index + 1)."""
    window = tuple(2 * h + 1 for h in geometry.half)
    steps = (np.arange(-h, h + 1, dtype=np.float32) for h in geometry.half)
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
    shape = tuple(s + 2 * h for s, h in zip(span, geometry.half, strict=True))

    def paint(canvases, item):
        sharp, wide, mask = canvases
        i, nucleus, centre, is_present, is_focused, share = item
        corner = jnp.floor(centre).astype(jnp.int32)  # of the window: the border of half a window is the shift
        points = (offsets + (corner + 0.5 - centre)) * geometry.pixel
        glow, inside = light(nucleus, points, float(geometry.pixel[-1]))
        glow = jnp.where(is_present, glow, 0.0)

        def update(canvas, change):
            old = jax.lax.dynamic_slice(canvas, corner, window)
            return jax.lax.dynamic_update_slice(canvas, change(old), corner)

        sharp = update(sharp, lambda old: old + (1 - share) * glow)
        wide = update(wide, lambda old: old + share * glow)
        mask = update(mask, lambda old: jnp.where(inside & is_present & is_focused, i + 1, old))
        return (sharp, wide, mask), None

    items = (jnp.arange(hazy.size, dtype=jnp.int32), nuclei, centres, present, focused, hazy)
    start = (jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.int32))
    return jax.lax.scan(paint, start, items)[0]


def _crop(canvas: Array, size: tuple[int, ...]) -> Array:
    return canvas[tuple(slice((w - s) // 2, (w - s) // 2 + s) for w, s in zip(canvas.shape, size, strict=True))]


def _number(raw: Int[Array, "*field"], classes: Int[Array, " most"], most: int):
    """Renumber the nuclei that are visible 1..n, in order, and move their classes along."""
    visible = jnp.bincount(raw.ravel(), length=most + 1)[1:] > 0
    number = jnp.where(visible, jnp.cumsum(visible), 0)
    mask = jnp.concatenate([jnp.zeros(1, number.dtype), number])[raw].astype(jnp.int32)
    place = jnp.where(visible, number - 1, most)
    return mask, jnp.full(most, ABSENT, jnp.int32).at[place].set(classes.astype(jnp.int32), mode="drop")
