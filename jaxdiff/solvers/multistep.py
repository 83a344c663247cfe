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

from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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


def phi_weights(h: float, nodes: np.ndarray, rate: float = 1.0) -> np.ndarray:
    """w_j = ∫_0^h rate e^{−rate (h−τ)} ℓ_j(τ) dτ, ℓ_j the Lagrange polynomials of `nodes` (λ relative to the start).

    Exponential quadrature of the interpolated denoiser (Hochbruck and Ostermann 2010, doi:10.1017/S0962492910000048).
    The Vandermonde system is in units of h.
    """
    size = len(nodes)
    moments = exponential_moments(rate * h, size)
    vandermonde = np.vander(np.asarray(nodes, np.float64) / h, size, increasing=True).T
    return np.linalg.solve(vandermonde, moments)


def exponential_moments(z: float, size: int) -> np.ndarray:
    """M_m = ∫_0^1 z e^{−z(1−u)} u^m du = m! z φ_{m+1}(−z) for m < size; z of either sign.

    By recursion from M_0 = 1 − e^{−z}, or, where that loses digits, as a series.
    """
    moments = np.empty(size)
    if abs(z) < 1.0:
        for m in range(size):  # Σ_i (−1)^i z^{i+1} m! / (m+i+1)!
            term = total = z / (m + 1.0)
            for i in range(1, 30):
                term *= -z / (m + i + 1.0)
                total += term
            moments[m] = total
    else:
        moments[0] = -np.expm1(-z)
        for m in range(1, size):
            moments[m] = 1.0 - m / z * moments[m - 1]
    return moments


def history(at: Point, k: int, size: int) -> np.ndarray:
    """Times of D_k, D_{k−1}, … relative to row k, at most `size` of those that exist: 0, λ_{k−1} − λ_k, …"""
    lam = np.asarray(at.lam)
    return lam[max(0, k - size + 1) : k + 1][::-1] - lam[k]
