"""What a stained nucleus looks like: smoothly deformed ellipsoids and fragments, chromatin texture, nucleoli.

A nucleus is a function of points in µm around its centre, in 2-D (light projected along the axis) or 3-D.
"""

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdiff.seeds import check_key

WAVES, LOBES, NUCLEOLI, FRAGMENTS = 8, 4, 3, 5
FRAGMENT_PLACE, FRAGMENT_SIZE = 0.83, 0.42  # largest distance from the centre and radius, relative to the radius
SIZE_SPREAD, LIGHT_SPREAD = 0.1, 0.2  # standard deviations of log radius and log brightness within a phenotype


@dataclasses.dataclass(frozen=True)
class Phenotype:
    """A class of nuclei; `radius_um` is that of the circle (sphere) of the same area (volume)."""

    name: str
    radius_um: float
    aspect: float  # long over short axis; a nucleus draws between its 0.6th power and itself
    roughness: float  # rms deviation of the outline, relative to the radius
    brightness: float  # relative to interphase
    texture: float  # rms of the log of the chromatin texture
    nucleoli: float  # darkness of the nucleoli, 0..1
    fragmented: bool = False


PHENOTYPES = (
    Phenotype("interphase", 6.5, 1.4, 0.05, 1.0, 0.18, 0.6),
    Phenotype("elongated", 5.6, 3.2, 0.04, 0.9, 0.15, 0.2),
    Phenotype("mitotic", 3.8, 3.4, 0.10, 2.6, 0.10, 0.0),
    Phenotype("apoptotic", 5.0, 1.0, 0.00, 2.2, 0.10, 0.0, fragmented=True),
)


class Nucleus(NamedTuple):
    """Everything random about one nucleus (lengths in µm); arrays without a batch axis."""

    radii: Float[Array, " 2"]  # long, short
    axis: Float[Array, " rank"]  # unit vector of the long one
    lobes: Float[Array, "lobes rank+1"]  # waves of the outline over the direction: vector, phase (turns)
    roughness: Float[Array, ""]
    brightness: Float[Array, ""]
    waves: Float[Array, "waves rank+1"]  # chromatin: wave vector (turns/µm), phase (turns)
    texture: Float[Array, ""]
    holes: Float[Array, "nucleoli rank+2"]  # place, radius, darkness
    parts: Float[Array, "fragments rank+1"]  # place, radius
    fragmented: Bool[Array, ""]


def reach_um(phenotype: Phenotype, rank: int) -> float:
    """No nucleus of this phenotype reaches further from its centre."""
    longest = phenotype.aspect ** ((rank - 1) / rank) * (1 + math.sqrt(2 * LOBES) * phenotype.roughness)
    furthest = FRAGMENT_PLACE + FRAGMENT_SIZE if phenotype.fragmented else longest
    return phenotype.radius_um * math.exp(math.sqrt(3) * SIZE_SPREAD) * furthest


def draw_nucleus(key: Array, phenotypes: tuple[Phenotype, ...], kind: Int[Array, ""], rank: int) -> Nucleus:
    """A random nucleus of class `kind`."""

    check_key(key)

    def of_kind(name):
        return jnp.asarray([float(getattr(p, name)) for p in phenotypes], jnp.float32)[kind]

    uniform = _blocks(jax.random.uniform, key, 0, (2,), (LOBES, 1), (WAVES, 2), (NUCLEOLI, 3), (FRAGMENTS, 2))
    body, lobe_phase, wave_chance, hole_chance, part_chance = uniform
    normal = _blocks(jax.random.normal, key, 1, (), *((n, rank) for n in (1, LOBES, WAVES, NUCLEOLI, FRAGMENTS)))
    stain, axis, lobe, wave, hole, part = normal

    radius = of_kind("radius_um") * jnp.exp(SIZE_SPREAD * math.sqrt(3) * (2 * body[0] - 1))
    aspect = of_kind("aspect") ** (0.6 + 0.4 * body[1])
    short = radius * aspect ** (-1 / rank)
    wavelength_um = 2.0 + 3.0 * wave_chance[:, :1]
    hole_place = 0.6 * short * hole_chance[:, :1] ** (1 / rank) * _directions(hole)
    hole_size, darkness = (
        radius * (0.14 + 0.1 * hole_chance[:, 1:2]),
        of_kind("nucleoli") * (0.3 + 0.7 * hole_chance[:, 2:]),
    )
    part_place = FRAGMENT_PLACE * radius * part_chance[:, :1] ** (1 / rank) * _directions(part)
    part_size = radius * (0.18 + (FRAGMENT_SIZE - 0.18) * part_chance[:, 1:])
    return Nucleus(
        radii=jnp.stack([radius * aspect ** ((rank - 1) / rank), short]),
        axis=_directions(axis)[0],
        lobes=jnp.concatenate([0.4 * lobe, lobe_phase], axis=1),
        roughness=of_kind("roughness"),
        brightness=of_kind("brightness") * jnp.exp(LIGHT_SPREAD * stain),
        waves=jnp.concatenate([_directions(wave) / wavelength_um, wave_chance[:, 1:]], axis=1),
        texture=of_kind("texture"),
        holes=jnp.concatenate([hole_place, hole_size, darkness], axis=1),
        parts=jnp.concatenate([part_place, part_size], axis=1),
        fragmented=of_kind("fragmented") > 0,
    )


def _blocks(sample, key, stream, *shapes):
    """Random arrays of these shapes from one call: each further call costs compile time, not run time."""
    ends = list(itertools.accumulate(math.prod(s) for s in shapes))
    values = jnp.split(sample(jax.random.fold_in(key, stream), (ends[-1],), jnp.float32), ends[:-1])
    return [v.reshape(s) for v, s in zip(values, shapes, strict=True)]


def _directions(vectors):
    return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


def light(
    nucleus: Nucleus, points: Float[Array, "*window rank"], pixel_um: float
) -> tuple[Float[Array, "*window"], Bool[Array, "*window"]]:
    """Light at points (µm from the centre), 1 = a typical interphase nucleus's middle, and whether they lie inside.

    Sums over waves and holes are written out, so that XLA's CPU backend makes one vectorised loop over pixels of all.
    """
    rank = points.shape[-1]
    at = [points[..., axis] for axis in range(rank)]
    long, short = nucleus.radii

    along = _sum(p * nucleus.axis[i] for i, p in enumerate(at)) * (1 / long - 1 / short)
    unit = [p / short + along * nucleus.axis[i] for i, p in enumerate(at)]
    norm = jnp.sqrt(_sum(u * u for u in unit))
    direction = [u / jnp.maximum(norm, 1e-6) for u in unit]
    outline = 1 + nucleus.roughness * math.sqrt(2 / LOBES) * _sum(_wave(direction, lobe) for lobe in nucleus.lobes)
    distances = [(jnp.sqrt(_square(at, part)), part[rank]) for part in nucleus.parts]
    fragment_depth = functools.reduce(jnp.maximum, (radius - d for d, radius in distances))
    fragment_ratio = functools.reduce(jnp.minimum, (d / radius for d, radius in distances))
    depth = jnp.where(nucleus.fragmented, fragment_depth, short * (outline - norm))
    ratio = jnp.where(nucleus.fragmented, fragment_ratio, norm / outline)

    covered = jnp.clip(0.5 + depth / pixel_um, 0, 1)  # of the pixel
    thickness = 1.0 if rank == 3 else 0.4 + 0.6 * jnp.sqrt(jnp.clip(1 - ratio**2, 0, 1))
    turns = jnp.sum((nucleus.waves[:, :rank] * pixel_um) ** 2, axis=-1)
    contrast = jnp.exp(-(math.pi**2) / 6 * turns)  # a pixel averages over fine waves: sinc(k) to second order
    chromatin = math.sqrt(2 / WAVES) * _sum(_wave(at, wave) * contrast[i] for i, wave in enumerate(nucleus.waves))
    bright = nucleus.brightness * covered * thickness * jnp.exp(nucleus.texture * chromatin)
    for hole in nucleus.holes:
        bright = bright * (1 - hole[rank + 1] * jnp.exp(-_square(at, hole) / (2 * hole[rank] ** 2)))
    return bright, depth > 0


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, terms)


def _wave(at: list[Array], wave: Array) -> Array:
    """cos 2π(k·p + phase) with wave = (k, phase) in turns, within 4e-4.

    Written as 1 − 2 sin² of the half angle, sin by four terms: XLA's cosine costs 50 exponentials on CPU.
    """
    turns = _sum(p * wave[i] for i, p in enumerate(at)) + wave[len(at)]
    half = jnp.pi * (turns - jnp.round(turns))
    square = half * half
    sine = half * (1 - square / 6 * (1 - square / 20 * (1 - square / 42)))
    return 1 - 2 * sine * sine


def _square(at: list[Array], place: Array) -> Array:
    return _sum((p - place[i]) ** 2 for i, p in enumerate(at))
