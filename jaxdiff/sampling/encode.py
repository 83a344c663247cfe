"""Images to the noise that the probability-flow ODE makes them of, and the way between two of these."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.process.gaussian import alpha
from jaxdiff.sampling.flow import batched

DEFAULT_CONTROLLER = diffrax.PIDController(rtol=1e-6, atol=1e-6)
MAX_STEPS = 4096


def encode(
    denoise: Denoiser,
    images: Float[ArrayLike, "num *shape"],
    *,
    ends: tuple[float, float],
    cond: PyTree = None,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
) -> Float[Array, "num *shape"]:
    """The states at λ = ends[0] from which the ODE leads to `images`, model units, at λ = ends[1].

    ends: (least, greatest λ), such as (schedule.lam_min, 5). cond: leading axis num. solver, controller: diffrax's, default
    Tsit5 at tolerances of 1e-6. `jd.sample(start=encode(…), solver=diffrax.Tsit5(), controller=…, grid=ends)` leads back.
    Images are taken for the states at the clean end but for the factor α: what noise is there, e^(−ends[1]), is not added.
    NaN where the solver does not reach the end. Raises ValueError for ends that do not rise.
    Song et al. 2021, arXiv 2011.13456, section 4.3.
    """
    x, span = start(images, ends)
    return batched(denoise, x, span, keys_of(jax.random.key(0), len(x)), cond, options(None, solver, controller)).x


def slerp(a: Float[ArrayLike, "*shape"], b: Float[ArrayLike, "*shape"], share: ArrayLike) -> Array:
    """Between two states of pure noise on the great circle: `share` from 0 (a) to 1 (b), an array's axes come first.

    A straight line would leave the shell on which noise lies. White 2016, arXiv 1609.04468.
    """
    a, b, share = jnp.asarray(a), jnp.asarray(b), jnp.asarray(share)
    cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a.ravel()) * jnp.linalg.norm(b.ravel()))
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))
    share = share.reshape(*share.shape, *(1,) * a.ndim)
    near = angle < 1e-4
    safe = jnp.where(near, 1, angle)
    left, right = (jnp.where(near, t, jnp.sin(t * safe) / jnp.sin(safe)) for t in (1 - share, share))
    return left * a + right * b


def start(images: ArrayLike, ends: tuple[float, float]) -> tuple[Array, Array]:
    """The states at the clean end, and the ends. Raises ValueError for ends that do not rise."""
    low, high = (float(end) for end in ends)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"got ends={ends}; expected the least and the greatest λ; to fix: (schedule.lam_min, 5.0)")
    x = jnp.asarray(images)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.asarray(alpha(high), x.dtype) * x, jnp.asarray([low, high], x.dtype)


def keys_of(key: Array, num: int) -> Array:
    """One key for each image."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num))


def options(trace: Any, solver: Any, controller: Any) -> tuple:
    """Of `batched`."""
    solver = diffrax.Tsit5() if solver is None else solver
    return trace, solver, DEFAULT_CONTROLLER if controller is None else controller, MAX_STEPS
