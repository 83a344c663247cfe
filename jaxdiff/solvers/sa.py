"""Stochastic Adams solver."""

from typing import ClassVar, Literal

import equinox as eqx
import numpy as np

from jaxdiff.solvers.base import Point, array_leaf
from jaxdiff.solvers.multistep import LinearMultistep, Weights, history, phi_weights


class SASolver(LinearMultistep):
    """(★) with D interpolated in λ through the last `order` calls, and a corrector that adds the call that follows.

    The predictor is the integral of `DPMpp`, taken exactly of the polynomial at every order. The corrector repeats the
    step with the same noise and D at its end as one more node, so only the difference of the two quadratures is added.
    `eta` is (★)'s η (the paper's τ), 0 outside `interval` (λ of the step's start): the paper's piecewise constant τ.
    Xue et al. 2023, "SA-Solver", arXiv 2305.19947, algorithm 1 (data prediction).
    """

    order: Literal[1, 2, 3] = eqx.field(default=2, static=True)
    eta: np.ndarray = eqx.field(default=1.0, converter=array_leaf)
    interval: np.ndarray = eqx.field(default=(-np.inf, np.inf), converter=array_leaf)
    corrector: bool = eqx.field(default=True, static=True)
    exponential: ClassVar[bool] = True

    def __check_init__(self):
        if self.order not in (1, 2, 3):
            raise ValueError(f"got order={self.order}; expected 1, 2 or 3")
        if np.shape(self.interval) != (2,) or not self.interval[0] < self.interval[1]:
            raise ValueError(f"got interval={self.interval}; expected (low, high) in λ with low < high")

    @property
    def keeps_history(self) -> bool:
        return self.order > 1 or self.corrector

    @property
    def convergence_order(self) -> int:
        return self.order + self.corrector

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        low, high = np.asarray(self.interval, np.float64)
        eta2 = np.where((at.lam >= low) & (at.lam <= high), float(np.asarray(self.eta)) ** 2, 0.0)
        table = Weights.of(at, "x0")
        table.predictor_y[:] = to.sigma / at.sigma * np.exp(-eta2 * h)
        table.predictor_z[:] = to.sigma * np.sqrt(-np.expm1(-2.0 * eta2 * h))
        for k in range(len(h)):
            nodes, rate = history(at, k, self.order), 1.0 + eta2[k]
            predictor = to.alpha[k] * phi_weights(h[k], nodes, rate)
            table.predictor_v[k, : len(nodes)] = predictor
            if self.corrector and k + 1 < len(h):
                # row k+1 calls D at the predicted state: columns D_{k+1}, D_k, …
                ahead = to.alpha[k] * phi_weights(h[k], np.append(h[k], nodes), rate)
                table.corrector_v[k + 1, : len(ahead)] = ahead - np.append(0.0, predictor)
        return table
