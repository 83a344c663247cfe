r"""The process, on the clock of half the log signal-to-noise ratio.

Coordinates (variance-preserving), with :math:`\lambda = \log(\alpha/\sigma)` rising while sampling:

    (1)  x = α x0 + σ ε,    α² = sigmoid(2λ),   σ² = sigmoid(−2λ),   α² + σ² = 1

Since dα/dλ = α σ² and dσ/dλ = −σ α², with D(x, λ) = E[x0 | x] and ε̂ = (x − α D)/σ, the family of processes
that share the marginals of (1) is, for any η ≥ 0,

    (2)  dx = [(1 + η²) α D(x, λ) − (α² + η²) x] dλ + √2 η σ dW                                             (★)

η = 0 is the probability-flow ODE, η = 1 the reverse-time SDE (Song et al. 2021, arXiv 2011.13456).

Exact step with D frozen, from λt to λs = λt + h. Multiply (2) by the integrating factor: along the drift
−(α² + η²) x alone, x scales by (σs/σt) e^(−η² h), because d log σ/dλ = −α². Hence

    (3)  x_s = (σs/σt) e^(−η²h) x_t + αs (1 − e^(−(1+η²)h)) D + σs √(1 − e^(−2η²h)) z,    z ~ N(0, I)

using ∫ (1+η²) α_τ (σs/σ_τ) e^(−η²(λs−τ)) dτ = σs e^{λs} (1 − e^(−(1+η²)h)), as α/σ = e^λ. η = 0 is DDIM (Song et
al. 2021, arXiv 2010.02502), η = 1 is DDPM's ancestral step (Ho et al. 2020, arXiv 2006.11239).

Any isotropic Gaussian process with scalar (a, s), y = a x0 + s ε, is (1) after division by √(a² + s²).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from jaxdiff.seeds import check_key


def namespace(*values) -> Any:
    """`jax.numpy` when any value is a JAX array, else `numpy`: numbers and NumPy arrays are computed in float64."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def on_host(values) -> Any:
    """Numbers in float64 on the host; those of a trace stay there, and what is computed of them is in its precision."""
    return values if isinstance(values, Tracer) else np.asarray(values, np.float64)


def _half_log_sigmoid(z):
    xp = namespace(z)
    return -0.5 * xp.logaddexp(0.0, -z)


def log_alpha(lam):
    """log α at half log-SNR `lam`; exact to the last digits at both ends, where 1 − σ² is not."""
    return _half_log_sigmoid(2.0 * lam)


def log_sigma(lam):
    """log σ at half log-SNR `lam`."""
    return _half_log_sigmoid(-2.0 * lam)


def alpha(lam):
    """Signal coefficient α(λ) = √sigmoid(2λ): float64 NumPy for numbers and NumPy arrays, JAX for JAX arrays."""
    return namespace(lam).exp(log_alpha(lam))


def sigma(lam):
    """Noise coefficient σ(λ) = √sigmoid(−2λ): float64 NumPy for numbers and NumPy arrays, JAX for JAX arrays."""
    return namespace(lam).exp(log_sigma(lam))


def noise(
    key: PRNGKeyArray, images: Float[Array, "num *shape"], lam: ArrayLike, *, first: int = 0
) -> Float[Array, "num *shape"]:
    """`images` brought to half log-SNR `lam`: α x0 + σ ε, the start of a partial-noise run.

    Args:
        key: the noise of image i is the start noise that `jd.sample` would give image `first + i` under the same key.
        images: (num, *spatial, channels), model units.
        lam: one number for all.
        first: number of the first image.

    Returns:
        States at `lam`, of the images' shape.

    Raises:
        ValueError: for a key that is none, and a `lam` of more than one number, whose axis is not that of the images.
    """
    check_key(key)
    if np.ndim(lam):
        raise ValueError(
            f"got lam of shape {np.shape(lam)}; expected one number for all images; to fix: a call for each, or jax.vmap"
        )
    images = jnp.asarray(images)
    indices = first + jnp.arange(images.shape[0])
    eps = jax.vmap(lambda i: start_noise(jax.random.fold_in(key, i), images.shape[1:], images.dtype))(indices)
    a, s = (jnp.asarray(f(on_host(lam)), images.dtype) for f in (alpha, sigma))
    return a * images + s * eps


def start_noise(image_key: PRNGKeyArray, shape, dtype) -> Array:
    """Noise of the start state of one image: index 0; step k = 0, 1, … draws index k + 1 (`step_noise`)."""
    return jax.random.normal(jax.random.fold_in(image_key, 0), shape, dtype)


def step_noise(image_key: PRNGKeyArray, step, shape, dtype) -> Array:
    """Noise of one image at step `step` of its run: a function of (image key, index) and nothing else."""
    return jax.random.normal(jax.random.fold_in(image_key, step + 1), shape, dtype)
