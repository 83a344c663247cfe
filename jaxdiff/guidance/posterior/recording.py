"""What a camera recorded of one image, in grey levels, when the denoiser's units are others."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxdiff.guidance.posterior.measurement import AbstractMeasurement, Linearised, check_seen, rows_seen
from jaxdiff.physics import likelihood
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Diagonal, LinearOperator
from jaxdiff.solvers.base import array_leaf


class Recording(AbstractMeasurement):
    """y (*measured, C) in grey levels: E[y] = offset + A (u(x0) − offset), with the noise of `camera`.

    1. u(x0) are the grey levels that the image would have without blur or noise: `to_data`, value by value, from model units
       (`Normaliser.inverse`); linear or not.
    2. Around x0, with u′ its slope, y − E[y] ≈ (y − m(x0)) − A u′ (x − x0): Gauss-Newton.
    3. `jaxdiff.physics.likelihood` divides by the standard deviation at the expected light m(x0), so that noise has size 1.

    operator: A, of light: offsets are no light and are not blurred. seen: False for pixels that are left out of the
    likelihood: saturated, dead or missing (their y may be anything, NaN too). stabilised: through the generalised Anscombe
    transform.
    Another recording, PSF, camera or mask is no new trace.
    """

    operator: LinearOperator
    y: Any = eqx.field(converter=array_leaf)
    camera: likelihood.Noise
    seen: Any
    to_data: Callable[[Any], Any] = eqx.field(static=True)
    stabilised: bool = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    noise: Any = eqx.field(converter=array_leaf)

    def __init__(
        self,
        operator: LinearOperator,
        y: Float[np.ndarray, "*measured C"],
        camera: Camera,
        to_data: Callable[[Any], Any],
        *,
        seen: Bool[np.ndarray, "*measured C"] | None = None,
        stabilised: bool = False,
        iterations: int = 30,
    ):
        y = np.asarray(y, np.float64)
        seen = np.isfinite(y) if seen is None else np.broadcast_to(seen, y.shape) & np.isfinite(y)
        self.operator, self.y, self.seen, self.to_data = operator, np.where(seen, y, camera.offset), seen, to_data
        self.camera = likelihood.Noise(*map(array_leaf, (camera.gain, camera.offset, camera.read_noise)))
        self.stabilised, self.iterations, self.noise = stabilised, iterations, np.ones(())

    def at(self, x0):
        slope, residual, weight = self._whitened(x0)
        operator = Diagonal(weight) @ self.operator @ Diagonal(slope)
        return Linearised(operator, residual, self.noise.astype(x0.dtype), self.iterations)

    def corrected(self, x0, spread):
        slope, residual, weight = self._whitened(x0)
        grey = residual / jnp.where(weight > 0, weight, 1)
        # One standard deviation of the noise against what `spread` of every pixel of x0 changes.
        most = spread * weight * jnp.abs(self.operator(slope))
        step = self.operator.damped_inverse(jnp.minimum(1, most) * grey, jnp.maximum(1, jnp.max(most))) / slope
        return x0 + self.at(x0).bounded(step)

    def _light(self, x0):
        """u(x0) and its slope."""
        light, slope = jax.jvp(self.to_data, (x0,), (jnp.ones_like(x0),))
        return light.astype(x0.dtype), slope.astype(x0.dtype)

    def _whitened(self, x0):
        """The slope of the grey levels, and residual and weight of the likelihood, 0 where nothing was seen."""
        light, slope = self._light(x0)
        camera = likelihood.Noise(*(jnp.asarray(value, x0.dtype) for value in self.camera))
        mean = camera.offset + self.operator(light - camera.offset)
        check_seen(mean, self.y, x0)
        whiten = likelihood.stabilised if self.stabilised else likelihood.photon
        residual, weight = whiten(camera, self.y.astype(x0.dtype), mean)
        seen = jnp.asarray(self.seen) & rows_seen(self.operator, x0)
        return slope, jnp.where(seen, residual, 0), jnp.where(seen, weight, 0)
