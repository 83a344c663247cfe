"""Which method of posterior sampling restores what an operator left, by the table of docs/posterior.md."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from jaxdiff.physics.operators import LinearOperator

UNSEEN = 0.01
"""Share of the image's values that no measured value sees, from which the operator is one that leaves pixels out."""
FAINT = 1e-3
"""Weight of a value in what is measured, beside the root mean square one, below which it is not seen."""


def choose(operator: LinearOperator, valid: Bool[np.ndarray, "*measured C"], shape: tuple[int, ...]) -> str:
    """The name of the cheapest method that samples the posterior of correlated images under such operators.

    valid: False for measured values that are left out. shape: (*spatial, C) of the image.

    "diffpir", one network call a step, is right where every pixel is seen: denoising, blur, binning. Where pixels are left
    out (a mask, distant slices) what neighbours say of them comes through the network's gradient only: "mmps" is right,
    "diffpir" too wide and off (benchmarks/results/posterior.json; a test holds this rule to it).
    """
    return "mmps" if unseen(operator, valid, shape) > UNSEEN else "diffpir"


def unseen(operator: LinearOperator, valid: Bool[np.ndarray, "*measured C"], shape: tuple[int, ...]) -> float:
    """Share of the values of an image that no valid value sees: where Aᵀ of noise is 0."""
    noise = jax.random.normal(jax.random.key(0), valid.shape, jnp.float32) * jnp.asarray(valid)
    back = np.abs(np.asarray(operator.adjoint(noise)))
    assert back.shape == shape
    return float(np.mean(back <= FAINT * np.sqrt(np.mean(back.astype(np.float64) ** 2))))
