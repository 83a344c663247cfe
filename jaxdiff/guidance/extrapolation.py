"""What guidance of two denoisers shares: going on from the worse through the better, inside an interval of λ."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float


def interval_ends(interval: tuple[float, float] | None) -> Float[Array | np.ndarray, " 2"]:
    """The ends in λ, infinite where None. Raises `ValueError` for an empty interval, unless its ends are traced."""
    low, high = (-np.inf, np.inf) if interval is None else interval
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        return jnp.stack([jnp.asarray(low), jnp.asarray(high)])
    if not low < high:
        raise ValueError(
            f"got interval={interval}; expected (low, high) in λ with low < high; to fix: exchange the ends"
        )
    return np.array([low, high], np.float64)


def inside(lam, interval, dtype) -> Array:
    """Whether `lam` lies between the ends of `interval`, both included, in the precision of the state."""
    low, high = jnp.asarray(interval, dtype)
    lam = jnp.asarray(lam, dtype)
    return (lam >= low) & (lam <= high)


def extrapolated(better: Array, worse: Array, scale) -> Array:
    """worse + w (better − worse), written so that w = 1 is `better` to the bit."""
    return better + (jnp.asarray(scale, better.dtype) - 1) * (better - worse)


def rescaled(guided: Array, conditional: Array, share) -> Array:
    """`guided` (*spatial, C) brought by `share` of the way to the contrast of `conditional`, each channel about its mean.

    Contrast is the standard deviation over all pixels of a channel; the means are those of `guided`. Lin's factor
    multiplies the mean, too, which is harmless where all images have mean 0, and at every call makes others brighter.
    """
    pixels = tuple(range(guided.ndim - 1))
    least = 1e-12  # a channel of one value stays as it is, and its gradient finite
    ratio = jnp.sqrt((jnp.var(conditional, pixels) + least) / (jnp.var(guided, pixels) + least))
    from_mean = guided - jnp.mean(guided, pixels)
    return guided + jnp.asarray(share, guided.dtype) * (ratio - 1) * from_mean  # share 0: to the bit
