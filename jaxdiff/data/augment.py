"""Random changes of grey levels in training: what other cameras, lamps and stains would have made of the same field.

They act on u, in which the field is 0 where it is dark and 1 where it is bright (`jaxdiff.data.per_image`). Each draws its
numbers once for a patch; the same change is then made to the patch and to the field's blocks, of which its grey scale is
estimated. One of a person's own stands beside them.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from jaxdiff.data.errors import DataError

Changed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(u (*spatial, C) float32, places (*spatial, axes) from -1 to 1 across the whole field) -> u, changed."""


class Change(Protocol):
    """A random change of grey levels: a frozen dataclass of its settings."""

    def drawn(self, rng: np.random.Generator) -> Changed | None:
        """One change, its numbers drawn; None: this patch stays as it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Sometimes(abc.ABC):
    chance: float = 1.0
    """Share of the patches that are changed."""

    def __post_init__(self):
        if not 0 <= self.chance <= 1:
            raise DataError(f"chance={self.chance}", "0 to 1", "0.5 changes every second patch")

    def drawn(self, rng: np.random.Generator) -> Changed | None:
        return self._change(rng) if rng.uniform() < self.chance else None

    @abc.abstractmethod
    def _change(self, rng: np.random.Generator) -> Changed: ...


def _range(name: str, ends: tuple[float, float], least: float = 0.0) -> None:
    if (
        len(ends) != 2
        or not (np.isfinite(ends[0]) and least <= ends[0] <= ends[1] < np.inf)
        or (least == 0 and ends[1] == 0)
    ):
        raise DataError(f"{name}={ends}", f"least and largest, finite, from {least:g} on", f"{name}=(0.5, 2.0)")


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


@dataclass(frozen=True, kw_only=True)
class Gain(_Sometimes):
    """Light times a factor, log-uniform. Normalisation per image undoes it."""

    factors: tuple[float, float] = (0.5, 2.0)
    """Least and largest."""

    def __post_init__(self):
        super().__post_init__()
        _range("factors", self.factors, 1e-6)

    def _change(self, rng: np.random.Generator) -> Changed:
        factor = np.float32(_log_uniform(rng, self.factors))
        return lambda u, places: factor * u


@dataclass(frozen=True, kw_only=True)
class Offset(_Sometimes):
    """Another dark level, uniform. Normalisation per image undoes it."""

    levels: tuple[float, float] = (-0.1, 0.1)
    """Least and largest, 1 the bright level."""

    def __post_init__(self):
        super().__post_init__()
        _range("levels", self.levels, -np.inf)

    def _change(self, rng: np.random.Generator) -> Changed:
        level = np.float32(rng.uniform(*self.levels))
        return lambda u, places: u + level


@dataclass(frozen=True, kw_only=True)
class Gamma(_Sometimes):
    """Grey levels to a power, log-uniform: dim objects beside bright ones dimmer or brighter.

    u becomes ((|u| + 1/20)^g - (1/20)^g) / ((21/20)^g - (1/20)^g), with the sign of u: smooth where it is dark.
    """

    powers: tuple[float, float] = (0.7, 1.4)
    """Least and largest g."""

    def __post_init__(self):
        super().__post_init__()
        _range("powers", self.powers, 1e-3)

    def _change(self, rng: np.random.Generator) -> Changed:
        g, dark = _log_uniform(rng, self.powers), 0.05
        low, one = dark**g, (1 + dark) ** g
        return lambda u, places: np.sign(u) * ((np.abs(u) + np.float32(dark)) ** np.float32(g) - low) / (one - low)


@dataclass(frozen=True, kw_only=True)
class Blur(_Sometimes):
    """Out of focus: a Gaussian in y and x, beyond whose patch the image is mirrored."""

    sigmas: tuple[float, float] = (0.5, 1.5)
    """Least and largest standard deviation, pixels, uniform."""

    def __post_init__(self):
        super().__post_init__()
        _range("sigmas", self.sigmas)

    def _change(self, rng: np.random.Generator) -> Changed:
        sigma = float(rng.uniform(*self.sigmas))
        return lambda u, places: ndimage.gaussian_filter(u, (*(0.0,) * (u.ndim - 3), sigma, sigma, 0.0))


@dataclass(frozen=True, kw_only=True)
class CameraNoise(_Sometimes):
    """Less light: Poisson noise of so many photons at u = 1, log-uniform, and read noise, on top of the noise there is."""

    photons: tuple[float, float] = (20.0, 1000.0)
    """Least and most, at the bright level."""
    read_noise: float = 2.0
    """Standard deviation, electrons."""

    def __post_init__(self):
        super().__post_init__()
        _range("photons", self.photons, 1e-3)
        if not 0 <= self.read_noise < np.inf:
            raise DataError(f"read_noise={self.read_noise}", "electrons, 0 or more", "read_noise=2")

    def _change(self, rng: np.random.Generator) -> Changed:
        photons, own = np.float32(_log_uniform(rng, self.photons)), np.random.default_rng(rng.integers(2**63))

        def noisy(u: np.ndarray, places: np.ndarray) -> np.ndarray:
            light = np.maximum(u, 0) * photons
            electrons = own.poisson(light) + (u * photons - light)  # what is below the dark level stays
            return ((electrons + self.read_noise * own.standard_normal(u.shape, np.float32)) / photons).astype(
                np.float32
            )

        return noisy


@dataclass(frozen=True, kw_only=True)
class UnevenLight(_Sometimes):
    """Light that rises across the field in a random direction, and haze that does."""

    light: float = 0.5
    """Largest logarithm of light at an end of the field over that in its middle."""
    haze: float = 0.1
    """Most haze at the brighter end, 1 the bright level."""

    def __post_init__(self):
        super().__post_init__()
        if not (0 <= self.light < np.inf and 0 <= self.haze < np.inf):
            raise DataError(f"light={self.light}, haze={self.haze}", "numbers, 0 or more", "light=0.5, haze=0.1")

    def _change(self, rng: np.random.Generator) -> Changed:
        strength, haze = rng.uniform(0, self.light), rng.uniform(0, self.haze)
        angles = rng.uniform(0, 2 * np.pi, 2)
        ways = [np.array([np.sin(a), np.cos(a)], np.float32) / np.sqrt(2) for a in angles]

        def uneven(u: np.ndarray, places: np.ndarray) -> np.ndarray:
            one, two = (places[..., -2:] @ way for way in ways)
            light, more = np.exp(strength * one), haze * (1 + two) / 2
            return (u * light[..., None] + more[..., None]).astype(np.float32)

        return uneven


@dataclass(frozen=True, kw_only=True)
class Inverted(_Sometimes):
    """Dark objects on a bright background: 1 - u."""

    chance: float = 0.5

    def _change(self, rng: np.random.Generator) -> Changed:
        return lambda u, places: 1 - u


OURS: tuple[type, ...] = (Gain, Offset, Gamma, Blur, CameraNoise, UnevenLight, Inverted)
