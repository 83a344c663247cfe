"""All linear multistep methods as one kernel over a table of weights.

Row k calls the denoiser once, at the predicted x_k, and keeps a value linear in the result: D itself, or ε̂. With v_k,
v_{k−1}, … these values, newest first, and y_{k−1} the (corrected) state from which the last step was made:

    v_k     = v_x x_k + v_d D_k                                  (0, 1) keeps D, (1/σ, −α/σ) keeps ε̂
    y_k     = c_x x_k + c_y y_{k−1} + Σ_j c_j v_{k−j}            corrector; (1, 0, 0 …) where there is none
    x_{k+1} = p_y y_k + Σ_j p_j v_{k−j} + p_z z                  predictor

Warm-up is zero weights, not a branch. A method is its table: a subclass writes `weights` with the helpers here. The
table is an argument of the compiled program and `Kernel` all of it that is compiled, so that moving between these methods
compiles nothing.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, Solver

DEPTH = 4
"""Values in reach, the newest among them, of the methods here."""


class Weights(NamedTuple):
    """One row a step; the weights of values have the kernel's `depth` columns, newest first."""

    value_x: Float[np.ndarray, " rows"]
    value_d: Float[np.ndarray, " rows"]
    corrector_x: Float[np.ndarray, " rows"]
    corrector_y: Float[np.ndarray, " rows"]
    corrector_v: Float[np.ndarray, "rows depth"]
    predictor_y: Float[np.ndarray, " rows"]
    predictor_v: Float[np.ndarray, "rows depth"]
    predictor_z: Float[np.ndarray, " rows"]

    @classmethod
    def of(cls, at: Point, keeps: Literal["x0", "eps"], depth: int = DEPTH) -> "Weights":
        """A table for the rows `at` with no corrector (y = x) and an empty predictor, to be filled."""
        rows = len(at.lam)
        value = (np.zeros(rows), np.ones(rows)) if keeps == "x0" else (1.0 / at.sigma, -at.alpha / at.sigma)
        empty = lambda *shape: np.zeros((rows, *shape))  # noqa: E731
        return cls(*value, np.ones(rows), empty(), empty(depth), empty(), empty(depth), empty())

    def filled(self, **columns) -> "Weights":
        """With these in the place of the empty ones; of values the first columns, the newest, may do."""
        for name in ("corrector_v", "predictor_v"):
            if name in columns:
                columns[name] = _wide(columns[name], getattr(self, name).shape[1])
        return self._replace(**columns)

    @property
    def reach_back(self) -> bool:
        """Whether any row uses a state or a value of a row before it."""
        past = (self.corrector_y, self.corrector_v[:, 1:], self.predictor_v[:, 1:])
        return any(np.any(weights != 0) for weights in past)


class LinearMultistep(Solver):
    """A method of the kernel; subclasses write `weights(at, to) -> Weights`."""

    stochastic: ClassVar = True
    depth: ClassVar = DEPTH

    @property
    def kernel(self):
        own_formula = type(self).update is not LinearMultistep.update
        return self if own_formula else Kernel(self.depth)

    @property
    def keeps_history(self) -> bool:
        """True unless a subclass says that its table never reaches back (`Weights.reach_back`)."""
        return True

    def memory(self, x):
        return x, tuple(jnp.zeros_like(x) for _ in range(self.depth - 1))

    def update(self, denoise, x, at, to, noise, memory):
        w: Weights = at.weights
        y, past = memory
        values = (w.value_x * x + w.value_d * denoise(x, at.lam), *past)
        y = w.corrector_x * x + w.corrector_y * y + combine(w.corrector_v, values)
        x = w.predictor_y * y + combine(w.predictor_v, values) + w.predictor_z * noise
        return x, (y, values[:-1])


class Kernel(LinearMultistep):
    """The update alone, without a method: the static part of every linear multistep solver."""

    depth: int = eqx.field(default=DEPTH, static=True)
    order: ClassVar[int] = 1


def combine(weights, values) -> Array:
    """Σ_j weights[j] values[j]."""
    total = weights[0] * values[0]
    for j in range(1, len(values)):
        total = total + weights[j] * values[j]
    return total


def over_history(
    at: Point, order: int, weigh: Callable[[np.ndarray, Any], Any], depth: int = DEPTH
) -> Float[np.ndarray, "rows depth"]:
    """Weights of the last `order` calls in each row, of as many as exist in the first rows.

    weigh: (indices of rows (m,), times of D_k, D_{k−1}, … relative to each (m, size)) -> weights (m, size or more).
    """
    rows = np.arange(len(at.lam))
    parts = [np.zeros((0, depth))]
    for size in range(1, order + 1):
        some = rows[size - 1 : size if size < order else None]
        if len(some):
            nodes = at.lam[some[:, None] - np.arange(size)] - at.lam[some][:, None]
            parts.append(_wide(weigh(some, nodes), depth))
    return namespace(*parts).concatenate(parts)


def a_row_later(rows):
    """Row k of what comes back is row k − 1; the first is 0."""
    xp = namespace(rows)
    return xp.concatenate([xp.zeros_like(rows[:1]), rows[:-1]])


def noise_share(eta, h):
    """√(1 − e^(−2η²h)), whose derivative in η is finite at η = 0, too: |η| √(2h φ(2η²h)), φ(z) = (1 − e^(−z))/z."""
    xp = namespace(eta, h)
    z = 2.0 * eta**2 * h
    if xp is np:
        return np.sqrt(-np.expm1(-z))
    small = z < 1e-4
    safe = jnp.where(small, 1.0, z)
    phi = jnp.where(small, 1.0 - z / 2.0 + z**2 / 6.0, -jnp.expm1(-safe) / safe)
    return eta * jnp.sqrt(2.0 * h * phi)


def _wide(columns, depth: int):
    """With columns of 0 up to `depth`."""
    xp = namespace(columns)
    return xp.concatenate([columns, np.zeros((len(columns), depth - columns.shape[1]))], axis=1)


def phi_weights(h, nodes, rate: Any = 1.0):
    """w_j = ∫_0^h rate e^{−rate (h−τ)} ℓ_j(τ) dτ, ℓ_j the Lagrange polynomials of `nodes` (λ relative to the start).

    h, rate: (*rows); nodes: (*rows, size), as the result. Exponential quadrature of the interpolated denoiser (Hochbruck and
    Ostermann 2010, doi:10.1017/S0962492910000048). The Vandermonde system is in units of h.
    """
    xp, size = namespace(h, nodes, rate), nodes.shape[-1]
    moments = exponential_moments(rate * h, size)
    vandermonde = powers(nodes / xp.asarray(h)[..., None], size)
    return xp.linalg.solve(vandermonde, moments[..., None])[..., 0]


def powers(ratios, size: int):
    """Row m of (*rows, size, n): the m-th power of `ratios` (*rows, n)."""
    xp = namespace(ratios)
    return xp.stack([xp.ones_like(ratios), *(ratios**m for m in range(1, size))], axis=-2)


def exponential_moments(z, size: int):
    """M_m = ∫_0^1 z e^{−z(1−u)} u^m du = m! z φ_{m+1}(−z) for m < size; z (*rows) of either sign: (*rows, size).

    By recursion from M_0 = 1 − e^{−z}, or, where that loses digits, as a series.
    """
    xp = namespace(z)
    few = xp.abs(z) < 1.0
    little, much = xp.where(few, z, 0.5), xp.where(few, 2.0, z)  # neither overflows, nor do their derivatives
    recursion = -xp.expm1(-much)
    moments = []
    for m in range(size):
        recursion = recursion if m == 0 else 1.0 - m / much * recursion
        term = series = little / (m + 1.0)  # Σ_i (−1)^i z^{i+1} m! / (m+i+1)!
        for i in range(1, 30):
            term = term * (-little / (m + i + 1.0))
            series = series + term
        moments.append(xp.where(few, series, recursion))
    return xp.stack(moments, axis=-1)


def history(at: Point, k: int, size: int) -> np.ndarray:
    """Times of D_k, D_{k−1}, … relative to row k, at most `size` of those that exist: 0, λ_{k−1} − λ_k, …"""
    lam = np.asarray(at.lam)
    return lam[max(0, k - size + 1) : k + 1][::-1] - lam[k]
