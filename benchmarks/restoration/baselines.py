"""Deconvolution without a network: Wiener, Richardson-Lucy, and Richardson-Lucy with total variation.

Each takes a recording (Y, X, 1) in grey levels with the true camera and a PSF, and one or two settings, chosen on dev.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Convolution
from jaxdiff.physics.richardson_lucy import richardson_lucy

Setting = tuple[float, ...]
Method = Callable[[np.ndarray, Camera, Convolution, Setting], np.ndarray]


def wiener(recording: np.ndarray, camera: Camera, operator: Convolution, setting: Setting) -> np.ndarray:
    """The image x of least |y − A x|² + b |∇²x|² on an image mirrored at its edges (Hunt 1973), by FFT."""
    (balance,) = setting
    light = recording[..., 0] - camera.offset
    margin = 16
    wide = np.pad(light, margin, mode="symmetric")
    axes = [np.fft.fftfreq(n) for n in wide.shape]
    laplacian = sum(4 * np.sin(np.pi * f) ** 2 for f in np.meshgrid(*axes, indexing="ij"))
    psf = np.zeros(wide.shape)
    k = operator.psf.shape
    psf[: k[0], : k[1]] = np.asarray(operator.psf)
    otf = np.fft.fft2(np.roll(psf, [-(n // 2) for n in k], axis=(0, 1)))
    x = np.fft.ifft2(np.conj(otf) * np.fft.fft2(wide) / (np.abs(otf) ** 2 + balance * laplacian**2)).real
    return (camera.offset + x[margin:-margin, margin:-margin])[..., None]


def lucy(recording: np.ndarray, camera: Camera, operator: Convolution, setting: Setting) -> np.ndarray:
    """Richardson-Lucy, the read noise's variance added on both sides (Snyder et al. 1993), stopped early."""
    y, read = _electrons(recording, camera)
    x = np.asarray(richardson_lucy(operator, y, int(setting[0]), background=read, sensitivity=False))
    return camera.offset + camera.gain * x


def lucy_tv(recording: np.ndarray, camera: Camera, operator: Convolution, setting: Setting) -> np.ndarray:
    """x ← x Aᵀ(y / (A x + b)) / (1 − λ div(∇x/|∇x|)) (Dey et al. 2006, doi:10.1002/jemt.20294)."""
    y, read = _electrons(recording, camera)
    return camera.offset + camera.gain * np.asarray(_lucy_tv(operator, y, read, setting[0], int(setting[1])))


def _lucy_tv(operator, y, read, weight, steps):
    @jax.jit
    def run(operator, y, read, weight):
        def step(x, _):
            dy, dx = (jnp.diff(x, axis=a, append=jax.lax.slice_in_dim(x, -1, None, axis=a)) for a in (0, 1))
            size = jnp.sqrt(dy**2 + dx**2 + 1e-4 * (1 + x) ** 2)
            curve = sum(
                jnp.diff(d / size, axis=a, prepend=jnp.zeros_like(jax.lax.slice_in_dim(d, 0, 1, axis=a)))
                for a, d in ((0, dy), (1, dx))
            )
            ratio = y / jnp.maximum(operator(x) + read, 1e-3)
            return x * jnp.maximum(operator.adjoint(ratio), 0) / jnp.clip(1 - weight * curve, 0.2, None), None

        return jax.lax.scan(step, jnp.full_like(y, jnp.mean(y)), length=steps)[0]

    return run(operator, y, read, weight)


def _electrons(recording: np.ndarray, camera: Camera):
    read = camera.read_noise**2
    return jnp.asarray(np.maximum((recording - camera.offset) / camera.gain + read, 0), jnp.float32), read


METHODS: dict[str, Method] = {"wiener": wiener, "richardson_lucy": lucy, "richardson_lucy_tv": lucy_tv}
CANDIDATES: dict[str, list[Setting]] = {
    "wiener": [(b,) for b in np.round(10 ** np.arange(-4.0, 2.6, 0.25), 6).tolist()],
    "richardson_lucy": [(n,) for n in (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100)],
    "richardson_lucy_tv": list(
        itertools.product((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1), (3, 5, 10, 20, 40, 80, 160, 320))
    ),
}
"""What is tried on dev."""
