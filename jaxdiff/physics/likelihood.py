"""How far a recording is from its expected grey levels, in standard deviations of the camera's noise, and the slope of that.

With m = E[y] and Var[y] = gain (m − offset) + gain² read_noise² (`jaxdiff.physics.camera`), both forms give r and w = −∂r/∂m
such that r has mean 0 and variance 1, so that log p(y) ≈ −r²/2 + …, and w r is the score with respect to m:

    photon      r = (y − m) / √Var[y]           w r is the score of the Poisson distribution itself, where read_noise = 0
    stabilised  r = f(y) − f(m),  f = 2 √(e + 3/8 + read_noise²)  of electrons e (the generalised Anscombe transform)

Photons are few where S = (m − offset)/gain is below LEAST, and count as LEAST: no light expected leaves the noise of some.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

LEAST = 0.5
"""Electrons below which the variance falls no further."""


class Noise(NamedTuple):
    """A camera as arrays: grey levels per electron, grey level without light, read noise in electrons."""

    gain: Any
    offset: Any
    read_noise: Any


class Whitened(NamedTuple):
    """What is left of a recording, of variance 1, and what a grey level of its mean takes off it."""

    residual: Float[Array, "*measured C"]
    weight: Float[Array, "*measured C"]


def photon(noise: Noise, y: Float[Array, "*measured C"], mean: Float[Array, "*measured C"]) -> Whitened:
    """r = (y − m)/√Var[y], Var at the expected light m."""
    weight = 1 / (noise.gain * jnp.sqrt(jnp.maximum((mean - noise.offset) / noise.gain, LEAST) + noise.read_noise**2))
    return Whitened(weight * (y - mean), weight)


def stabilised(noise: Noise, y: Float[Array, "*measured C"], mean: Float[Array, "*measured C"]) -> Whitened:
    """r = f(y) − f(m), f the generalised Anscombe transform."""

    def root(grey, least):
        electrons = jnp.maximum((grey - noise.offset) / noise.gain, least)
        return jnp.sqrt(jnp.maximum(electrons + 3 / 8 + noise.read_noise**2, 0))

    expected = root(mean, LEAST)
    return Whitened(2 * (root(y, -jnp.inf) - expected), 1 / (noise.gain * expected))
