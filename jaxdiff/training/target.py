r"""Training targets of each kind of prediction, from (x0, ε), and what an error of it is worth in ε.

    kind       target                          ε error / output error
    x0         x0                              α/σ
    eps        ε                               1
    v          α ε − σ x0                      α
    score      −ε/σ                            σ
    velocity   ε − x0                          α/(α + σ)
    F          (σ x0 − α s² ε)/(s √S)          α s/√S,     S = σ² + α² s², s = sigma_data

The same as `predictions.from_x0`, written with the ε that training knows: (x − α x0)/σ loses three digits in float32 at
the clean end. The factor is |dε̂/d output| = (α/σ) |dx̂0/d output|, from `predictions.to_x0`.
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from jaxdiff.predictions import check
from jaxdiff.process.gaussian import alpha, namespace, sigma

Values = Array | np.ndarray


def target(
    predicts: str,
    x0: Float[Values, " *shape"],
    eps: Float[Values, " *shape"],
    lam: Float[Values, ""],
    sigma_data: float = 1.0,
) -> Any:
    """What the network should return for one example at half log-SNR `lam`. Raises ValueError for an unknown kind."""
    check(predicts)
    a, s = alpha(lam), sigma(lam)
    if predicts == "x0":
        return x0
    if predicts == "eps":
        return eps
    if predicts == "v":
        return a * eps - s * x0
    if predicts == "score":
        return -eps / s
    if predicts == "velocity":
        return eps - x0
    return (s * x0 - a * sigma_data**2 * eps) / (sigma_data * namespace(lam).sqrt(s**2 + (a * sigma_data) ** 2))


def eps_per_output(predicts: str, lam: Float[Values, "*b"], sigma_data: float = 1.0) -> Any:
    """Factor from an error of the output to the error of ε that it means. Raises ValueError for an unknown kind."""
    check(predicts)
    a, s = alpha(lam), sigma(lam)
    if predicts == "x0":
        return a / s
    if predicts == "eps":
        return namespace(lam).ones_like(a)
    if predicts == "v":
        return a
    if predicts == "score":
        return s
    if predicts == "velocity":
        return a / (a + s)
    return a * sigma_data / namespace(lam).sqrt(s**2 + (a * sigma_data) ** 2)
