"""What a network may predict, and x0 from each and back, in variance-preserving coordinates x = α x0 + σ ε.

    kind       output                                     x0                      ε error / output error
    x0         x0                                         output                  α/σ
    eps        ε                                          (x − σ output) / α      1
    v          α ε − σ x0                                 α x − σ output          α
    score      ∇ log p(x) = −ε/σ                          (x + σ² output) / α     σ
    velocity   ε − x0, at y = (1−t) x0 + t ε              (x − σ output)/(α + σ)  α/(α + σ)
    F          EDM's F: x0 = c_skip y + c_out F, y = x/α  c_skip y + c_out F      α s/√(σ² + α² s²)

with t = σ/(α + σ), and EDM's c_skip = s²/(σ̃² + s²), c_out = σ̃ s/√(σ̃² + s²) at σ̃ = σ/α and s = `sigma_data`.
v: Salimans and Ho 2022, arXiv 2202.00512. score: Song et al. 2021, arXiv 2011.13456. velocity: Liu et al. 2022,
arXiv 2209.03003. F: Karras et al. 2022, arXiv 2206.00364, section 5; at s = 1 it is −v.

Every kind here is linear in x0: output = p x + q x0, which its `coefficients` tell. A kind of one's own may tell no more than
that. What it can be written out for without subtracting large numbers is written out here: x0 at the clean end, where
(output − p x)/q loses digits, and the training target from the ε that training knows.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from jaxdiff.process.gaussian import alpha, namespace, sigma
from jaxdiff.representation import representation

Prediction = Literal["x0", "eps", "v", "score", "velocity", "F"]
PREDICTIONS: tuple[str, ...] = get_args(Prediction)
Values = TypeVar("Values", bound=Any)


class PredictionKind(eqx.Module):
    """What a network's output means, for `predicts=` of `jd.bind`, `DenoisingLoss` and `TrainConfig`.

    A subclass writes `coefficients(lam)`, or both `to_x0` and `from_x0`; the rest follows. All are of one example: x, x0 and
    output (*spatial, channels), lam a scalar; NumPy in, NumPy out. Number fields (`scale: float = 1.0`) are array leaves once
    bound.
    """

    __repr__ = representation

    def __check_init__(self):
        own = type(self)
        both = own.to_x0 is not PredictionKind.to_x0 and own.from_x0 is not PredictionKind.from_x0
        if own.coefficients is PredictionKind.coefficients and not both:
            raise ValueError(
                f"got {own.__name__} without a conversion; expected `coefficients(lam)`, which returns (p, q) with output = "
                "p x + q x0, or both `to_x0` and `from_x0`; to fix: write one of these methods"
            )

    def coefficients(self, lam) -> tuple[Any, Any]:
        """(p, q) with output = p x + q x0 at half log-SNR `lam`; raises ValueError for a kind that does not tell them."""
        raise ValueError(f"got {type(self).__name__}, which tells no p and q; expected a kind with `coefficients`")

    def to_x0(self, output: Values, *, x: Values, lam) -> Values:
        """x0 from what the network returned."""
        p, q = self.coefficients(lam)
        return (output - p * x) / q

    def from_x0(self, x0: Values, *, x: Values, lam) -> Values:
        """What a network returns where it knows x0: inverse of `to_x0`."""
        p, q = self.coefficients(lam)
        return p * x + q * x0

    def target(self, *, x0: Values, eps: Values, lam) -> Values:
        """What the network should return, from the image and the noise that training knows."""
        return self.from_x0(x0, x=alpha(lam) * x0 + sigma(lam) * eps, lam=lam)

    def eps_per_output(self, lam) -> Any:
        """|dε̂/d output| = (α/σ) |dx̂0/d output|: what an error of the output is worth in ε."""
        return alpha(lam) / (sigma(lam) * abs(self.coefficients(lam)[1]))

    def error(self, output: Values, *, x0: Values, eps: Values, lam) -> tuple[Values, Any]:
        """What a loss squares, of one example.

        Args:
            output: what the network returned.
            x0: the image.
            eps: the noise.
            lam: half log-SNR.

        Returns:
            (error of the output, factor from it to the error of ε); of a kind that tells no p and q, the error of x0.
        """
        if type(self).coefficients is not PredictionKind.coefficients:
            return output - self.target(x0=x0, eps=eps, lam=lam), self.eps_per_output(lam)
        a, s = alpha(lam), sigma(lam)
        return self.to_x0(output, x=a * x0 + s * eps, lam=lam) - x0, a / s


class X0(PredictionKind):
    """The image itself."""

    def coefficients(self, lam):
        a = alpha(lam)
        return namespace(a).zeros_like(a), namespace(a).ones_like(a)

    def to_x0(self, output, *, x, lam):
        return output

    def target(self, *, x0, eps, lam):
        return x0

    def eps_per_output(self, lam):
        return alpha(lam) / sigma(lam)


class Eps(PredictionKind):
    """The noise ε."""

    def coefficients(self, lam):
        return 1.0 / sigma(lam), -alpha(lam) / sigma(lam)

    def to_x0(self, output, *, x, lam):
        return (x - sigma(lam) * output) / alpha(lam)

    def target(self, *, x0, eps, lam):
        return eps

    def eps_per_output(self, lam):
        a = alpha(lam)
        return namespace(a).ones_like(a)


class V(PredictionKind):
    """v = α ε − σ x0."""

    def coefficients(self, lam):
        return alpha(lam) / sigma(lam), -1.0 / sigma(lam)

    def to_x0(self, output, *, x, lam):
        return alpha(lam) * x - sigma(lam) * output

    def target(self, *, x0, eps, lam):
        return alpha(lam) * eps - sigma(lam) * x0

    def eps_per_output(self, lam):
        return alpha(lam)


class Score(PredictionKind):
    """∇ log p(x), −ε/σ."""

    def coefficients(self, lam):
        a, s = alpha(lam), sigma(lam)
        return -1.0 / s**2, a / s**2

    def to_x0(self, output, *, x, lam):
        return (x + sigma(lam) ** 2 * output) / alpha(lam)

    def target(self, *, x0, eps, lam):
        return -eps / sigma(lam)

    def eps_per_output(self, lam):
        return sigma(lam)


class Velocity(PredictionKind):
    """ε − x0, of rectified flow."""

    def coefficients(self, lam):
        a, s = alpha(lam), sigma(lam)
        return 1.0 / s, -(a + s) / s

    def to_x0(self, output, *, x, lam):
        return (x - sigma(lam) * output) / (alpha(lam) + sigma(lam))

    def target(self, *, x0, eps, lam):
        return eps - x0

    def eps_per_output(self, lam):
        a = alpha(lam)
        return a / (a + sigma(lam))


class F(PredictionKind):
    """EDM's F, with its coefficients multiplied through by α. `sigma_data`: standard deviation of the data."""

    sigma_data: float = 1.0

    def _at(self, lam):
        """(α, σ, s, √S) with S = σ² + α² s², in the precision of λ."""
        a, sigma_lam = alpha(lam), sigma(lam)
        xp = namespace(a, self.sigma_data)
        s = xp.asarray(self.sigma_data, a.dtype)
        return a, sigma_lam, s, xp.sqrt(sigma_lam**2 + (a * s) ** 2)

    def coefficients(self, lam):
        a, sigma_lam, s, norm = self._at(lam)
        return -a * s / (sigma_lam * norm), norm / (sigma_lam * s)

    def to_x0(self, output, *, x, lam):
        a, sigma_lam, s, norm = self._at(lam)
        return a * s**2 / norm**2 * x + sigma_lam * s / norm * output

    def target(self, *, x0, eps, lam):
        a, sigma_lam, s, norm = self._at(lam)
        return (sigma_lam * x0 - a * s**2 * eps) / (s * norm)

    def eps_per_output(self, lam):
        a, _, s, norm = self._at(lam)
        return a * s / norm


KINDS: Mapping[str, type[PredictionKind]] = MappingProxyType(
    dict(zip(PREDICTIONS, (X0, Eps, V, Score, Velocity, F), strict=True))
)
"""The kinds that have names."""


def kind_of(predicts: str | PredictionKind, sigma_data: ArrayLike = 1.0) -> PredictionKind:
    """The kind of a name, F with `sigma_data`; a kind is itself. Raises `ValueError` for anything else."""
    if isinstance(predicts, PredictionKind):
        return predicts
    kind = KINDS.get(predicts) if isinstance(predicts, str) else None
    if kind is None:
        raise ValueError(
            f"got predicts={predicts!r}; expected one of {', '.join(PREDICTIONS)}, or an object of a "
            "jd.predictions.PredictionKind"
        )
    return F(sigma_data) if kind is F else kind()  # type: ignore[arg-type]


def name_of(kind: PredictionKind) -> str | None:
    """The name of a kind, the inverse of `kind_of` but for `sigma_data`; None for one of a person's own."""
    return next((name for name, one in KINDS.items() if type(kind) is one), None)


def stored_form(predicts: str | PredictionKind, sigma_data: float) -> tuple[str | PredictionKind, float]:
    """(predicts, sigma_data) as a run folder holds them: one of ours by its name, however it was written.

    Raises `ValueError` for an unknown kind.
    """
    kind = kind_of(predicts, sigma_data)
    return name_of(kind) or kind, float(kind.sigma_data) if isinstance(kind, F) else sigma_data


def coefficients(predicts: str | PredictionKind, lam, *, sigma_data: ArrayLike = 1.0) -> tuple[Any, Any]:
    """(p, q) with output = p x + q x0 at half log-SNR `lam`. Raises `ValueError` for an unknown kind."""
    return kind_of(predicts, sigma_data).coefficients(lam)


def to_x0(
    predicts: str | PredictionKind,
    output: Float[Array, " *shape"],
    *,
    x: Float[Array, " *shape"],
    lam: ArrayLike,
    sigma_data: ArrayLike = 1.0,
) -> Any:
    """x0 from what a network returned, for one example; as `PredictionKind.to_x0`.

    Args:
        predicts: a name of `PREDICTIONS`, or a kind.
        output: what the network returned, (*spatial, channels).
        x: the noisy image, of the same shape, in variance-preserving coordinates.
        lam: half log-SNR, a scalar.
        sigma_data: EDM's, for "F".

    Returns:
        The image, of the same shape.

    Raises:
        ValueError: for an unknown kind.
    """
    return kind_of(predicts, sigma_data).to_x0(output, x=x, lam=lam)


def from_x0(
    predicts: str | PredictionKind,
    x0: Float[Array, " *shape"],
    *,
    x: Float[Array, " *shape"],
    lam: ArrayLike,
    sigma_data: ArrayLike = 1.0,
) -> Any:
    """What a network of this kind returns where it knows x0: inverse of `to_x0`.

    Args:
        predicts: as in `to_x0`.
        x0: the image, (*spatial, channels).
        x: as in `to_x0`.
        lam: as in `to_x0`.
        sigma_data: as in `to_x0`.

    Returns:
        The network's output, of the image's shape.

    Raises:
        ValueError: as `to_x0`.
    """
    return kind_of(predicts, sigma_data).from_x0(x0, x=x, lam=lam)
