"""Stochastic Adams solver."""

from typing import ClassVar, Literal

import equinox as eqx
import numpy as np
from jax.core import Tracer

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, array_leaf, eta_leaf
from jaxdiff.solvers.multistep import LinearMultistep, Weights, a_row_later, noise_share, over_history, phi_weights


class SASolver(LinearMultistep):
    """(★) with D interpolated in λ through the last `order` calls, and a corrector that adds the call that follows.

    The predictor is the integral of `DPMpp`, taken exactly of the polynomial at every order. The corrector repeats the
    step with the same noise and D at its end as one more node, so only the difference of the two quadratures is added.
    `eta` is (★)'s η (the paper's τ), 0 outside `interval` (λ of the step's start): the paper's piecewise constant τ.
    Xue et al. 2023, "SA-Solver", arXiv 2305.19947, algorithm 1 (data prediction).
    """

    order: Literal[1, 2, 3] = eqx.field(default=2, static=True)
    eta: np.ndarray = eqx.field(default=1.0, converter=eta_leaf)
    interval: np.ndarray = eqx.field(default=(-np.inf, np.inf), converter=array_leaf)
    corrector: bool = eqx.field(default=True, static=True)
    exponential: ClassVar[bool] = True

    def __check_init__(self):
        if self.order not in (1, 2, 3):
            raise ValueError(f"got order={self.order}; expected 1, 2 or 3")
        traced = isinstance(self.interval, Tracer)
        if np.shape(self.interval) != (2,) or not (traced or self.interval[0] < self.interval[1]):
            raise ValueError(f"got interval={self.interval}; expected (low, high) in λ with low < high")

    @property
    def keeps_history(self) -> bool:
        return self.order > 1 or self.corrector

    @property
    def convergence_order(self) -> int:
        return self.order + self.corrector

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        low, high = self.interval
        inside = (at.lam >= low) & (at.lam <= high)
        eta = namespace(inside, self.eta).where(inside, self.eta, 0.0)
        xp = namespace(h, eta)

        def predictor(k, nodes):
            return to.alpha[k, None] * phi_weights(h[k], nodes, 1.0 + eta[k] ** 2)

        def corrector(k, nodes):
            # The next row calls D at the predicted state: columns D_{k+1}, D_k, …
            ahead = to.alpha[k, None] * phi_weights(h[k], xp.concatenate([h[k, None], nodes], 1), 1.0 + eta[k] ** 2)
            return ahead - xp.concatenate([np.zeros((len(k), 1)), predictor(k, nodes)], 1)

        table = Weights.of(at, "x0").filled(
            predictor_y=to.sigma / at.sigma * xp.exp(-(eta**2) * h),
            predictor_v=over_history(at, self.order, predictor),
            predictor_z=to.sigma * noise_share(eta, h),
        )
        if not self.corrector:
            return table
        return table.filled(corrector_v=a_row_later(over_history(at, self.order, corrector)))
