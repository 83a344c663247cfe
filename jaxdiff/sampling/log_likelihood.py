"""The log-density of images under the model, by the probability-flow ODE."""

import functools
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.process.gaussian import log_alpha, on_host
from jaxdiff.sampling import flow
from jaxdiff.seeds import check_key


class LogLikelihood(NamedTuple):
    """What `log_likelihood` returns."""

    nats: Float[Array, " num"]
    """log p(image), natural logarithm, in model units; NaN where the solver did not reach the end."""
    latents: Float[Array, "num *shape"]
    """The states at the noisy end, as of `encode`."""
    steps: Int[Array, " num"]
    """Of the ODE solver."""

    @property
    def bits_per_dim(self) -> Float[np.ndarray, " num"]:
        """−log2 p for each value, model units; `Model.bits_per_dim` knows those of the data."""
        size = int(np.prod(self.latents.shape[1:]))
        return -np.asarray(self.nats, np.float64) / (size * np.log(2.0))


def log_likelihood(
    key: PRNGKeyArray,
    denoise: Denoiser,
    images: Float[ArrayLike, "num *shape"],
    *,
    ends: tuple[float, float],
    probes: int | None = None,
    cond: PyTree = None,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
    batch: int = 64,
) -> LogLikelihood:
    """log p of `images` (num, *shape), model units.

    p is the density of images with noise of standard deviation e^(−ends[1]) added, and at ends[0] it is taken for N(α D, I),
    which is so but for α²: (schedule.lam_min, 5) for images of standard deviation 1.
    Chen et al. 2018, arXiv 1806.07366; Song et al. 2021, arXiv 2011.13456, section 4.3.

    Args:
        key: of the probes' signs; those of image i depend on (key, i).
        denoise: D(x, λ, cond) of one image.
        images: (num, *shape), model units.
        ends: least and greatest λ.
        probes: None for the exact divergence, one gradient of the network for each value of an image and step; or the number
            of random signs of Hutchinson's estimate, which has no bias for the log-density and one gradient each.
        cond: condition with leading axis num, or None.
        solver: diffrax's; default Tsit5.
        controller: diffrax's; default tolerances of 1e-6.
        batch: images at a time.

    Returns:
        The log-densities in nats, (num,), the states at the noisy end, and the solver's steps.

    Raises:
        ValueError: for ends that do not rise, or fewer than one probe.
    """
    check_key(key)
    if probes is not None and probes < 1:
        raise ValueError(f"got probes={probes}; expected 1 or more, or None for the exact divergence; to fix: probes=1")
    x, span = flow.start_states(images, ends)
    keys = flow.keys_of(key, len(x))
    options = flow.options(_trace(probes), solver, controller, denoise, x, span, cond)
    parts = []
    for low in range(0, len(x), batch):
        rows = slice(low, low + batch)
        part = jax.tree.map(lambda leaf, rows=rows: leaf[rows], cond)
        parts.append(flow.batched(denoise, x[rows], span, keys[rows], part, options))
    back = parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    size = x[0].size
    # p of images is that of the states α x0, times α for each value.
    return LogLikelihood(back.log_noise + back.gained + size * log_alpha(on_host(ends[1])), back.x, back.steps)


@functools.lru_cache
def _trace(probes: int | None) -> Any:
    """One function for all calls, so that they share a program."""
    return flow.exact_trace() if probes is None else flow.hutchinson_trace(probes)
