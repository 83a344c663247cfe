"""Images to the noise that the probability-flow ODE makes them of, and the way between two of these."""

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.sampling.flow import batched, keys_of, options, start_states


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

    `jd.sample(start=encode(…), solver=diffrax.Tsit5(), controller=…, grid=ends)` leads back. Images are taken for the states
    at the clean end but for the factor α: what noise is there, e^(−ends[1]), is not added.
    Song et al. 2021, arXiv 2011.13456, section 4.3.

    Args:
        denoise: D(x, λ, cond) of one image.
        images: (num, *shape), model units.
        ends: (least, greatest λ), such as (schedule.lam_min, 5).
        cond: condition with leading axis num, or None.
        solver: diffrax's; default Tsit5.
        controller: diffrax's; default tolerances of 1e-6.

    Returns:
        States (num, *shape); NaN where the solver does not reach the end.

    Raises:
        ValueError: for ends that do not rise.
    """
    x, span = start_states(images, ends)
    choices = options(None, solver, controller, denoise, x, span, cond)
    return batched(denoise, x, span, keys_of(jax.random.key(0), len(x)), cond, choices).x


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
