"""What a network may predict, and x0 from each and back, in variance-preserving coordinates x = α x0 + σ ε.

    kind       output                                     x0
    x0         x0                                         output
    eps        ε                                          (x − σ output) / α
    v          α ε − σ x0                                 α x − σ output
    score      ∇ log p(x) = −ε/σ                          (x + σ² output) / α
    velocity   ε − x0, at y = (1−t) x0 + t ε              (x − σ output) / (α + σ)
    F          EDM's F: x0 = c_skip y + c_out F, y = x/α  c_skip x/α + c_out output

with t = σ/(α + σ), and EDM's c_skip = s²/(σ̃² + s²), c_out = σ̃ s/√(σ̃² + s²) at σ̃ = σ/α and s = `sigma_data`.
v: Salimans and Ho 2022, arXiv 2202.00512. score: Song et al. 2021, arXiv 2011.13456. velocity: Liu et al. 2022,
arXiv 2209.03003. F: Karras et al. 2022, arXiv 2206.00364, section 5; at s = 1 it is −v.

Every kind is linear in x0: output = p x + q x0, which `coefficients` tells; both conversions follow from it.
"""

from typing import Literal, get_args

from jaxtyping import Array, ArrayLike, Float

from jaxdiff.process.gaussian import alpha, namespace, sigma

Prediction = Literal["x0", "eps", "v", "score", "velocity", "F"]
PREDICTIONS: tuple[str, ...] = get_args(Prediction)


def check(predicts: str) -> None:
    """Raises `ValueError` for an unknown kind of prediction."""
    if predicts not in PREDICTIONS:
        raise ValueError(f"got predicts={predicts!r}; expected one of {', '.join(PREDICTIONS)}")


def coefficients(predicts: str, lam, sigma_data: ArrayLike = 1.0):
    """(p, q) with output = p x + q x0 at half log-SNR `lam`."""
    check(predicts)
    xp = namespace(lam)
    a, s = alpha(lam), sigma(lam)
    if predicts == "x0":
        return xp.zeros_like(a), xp.ones_like(a)
    if predicts == "eps":
        return 1.0 / s, -a / s
    if predicts == "v":
        return a / s, -1.0 / s
    if predicts == "score":
        return -1.0 / s**2, a / s**2
    if predicts == "velocity":
        return 1.0 / s, -(a + s) / s
    norm = xp.sqrt(s**2 + (a * sigma_data) ** 2)  # F, with EDM's coefficients multiplied through by α
    return -a * sigma_data / (s * norm), norm / (s * sigma_data)


def to_x0(
    predicts: str, output: Float[Array, " *shape"], x: Float[Array, " *shape"], lam, sigma_data: ArrayLike = 1.0
) -> Float[Array, " *shape"]:
    """x0 from what the network returned, for one example: x and output (*spatial, channels), `lam` a scalar.

    Written out for each kind, since (output − p x)/q would subtract large numbers at the clean end.
    """
    check(predicts)
    xp = namespace(lam)
    a, s = alpha(lam), sigma(lam)
    if predicts == "x0":
        return output
    if predicts == "eps":
        return (x - s * output) / a
    if predicts == "v":
        return a * x - s * output
    if predicts == "score":
        return (x + s**2 * output) / a
    if predicts == "velocity":
        return (x - s * output) / (a + s)
    square = s**2 + (a * sigma_data) ** 2
    return a * sigma_data**2 / square * x + s * sigma_data / xp.sqrt(square) * output


def from_x0(
    predicts: str, x0: Float[Array, " *shape"], x: Float[Array, " *shape"], lam, sigma_data: ArrayLike = 1.0
) -> Float[Array, " *shape"]:
    """What a network of this kind returns where it knows x0: inverse of `to_x0`, and its training target."""
    p, q = coefficients(predicts, lam, sigma_data)
    return p * x + q * x0
