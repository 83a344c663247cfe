"""Unified predictor-corrector."""

from typing import ClassVar, Literal

import equinox as eqx
import numpy as np

from jaxdiff.solvers.base import Point
from jaxdiff.solvers.multistep import LinearMultistep, Weights, exponential_moments, history


class UniPC(LinearMultistep):
    """Predictor of order p from the last p calls; corrector of order p + 1 from the call that the next step makes anyway.

    With D_i called at λ_t + r_i h, a step adds α_s Σ_i b_i (D_i − D_t)/r_i to DDIM's, where the b_i solve
    Σ_i r_i^(m−1) b_i = M_m, m = 1 …, the exponential moments. A single unknown is closed early, b = B/2 with
    B = h ("bh1") or 1 − e^(−h) ("bh2"). The corrector goes on from the state that the step started from.
    Zhao et al. 2023, "UniPC", arXiv 2302.04867, algorithms 5-8 (data prediction).
    """

    order: Literal[2, 3] = eqx.field(default=2, static=True)
    variant: Literal["bh1", "bh2"] = eqx.field(default="bh2", static=True)
    corrector: bool = eqx.field(default=True, static=True)
    exponential: ClassVar[bool] = True

    def __check_init__(self):
        if self.order not in (2, 3) or self.variant not in ("bh1", "bh2"):
            raise ValueError(f"got order={self.order}, variant={self.variant!r}; expected order 2 or 3, 'bh1' or 'bh2'")

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        table = Weights.of(at, "x0")
        table.predictor_y[:] = to.sigma / at.sigma
        for k in range(len(h)):
            nodes = history(at, k, self.order)
            table.predictor_v[k, : len(nodes)] = to.alpha[k] * self._residual(h[k], nodes)
            if self.corrector and k + 1 < len(h):
                # row k+1 calls D at the predicted state: y_{k+1} from y_k with that value as one more node
                ahead = self._residual(h[k], np.concatenate([[0.0], nodes[1:], [h[k]]]))
                table.corrector_x[k + 1], table.corrector_y[k + 1] = 0.0, to.sigma[k] / at.sigma[k]
                # columns: D_{k+1} first, then D_k, D_{k−1} …
                table.corrector_v[k + 1, 0] = to.alpha[k] * ahead[-1]
                table.corrector_v[k + 1, 1 : 1 + len(nodes)] = to.alpha[k] * ahead[:-1]
        return table

    @property
    def convergence_order(self) -> int:
        return self.order + self.corrector

    def _residual(self, h: float, nodes: np.ndarray) -> np.ndarray:
        """Weights of D at `nodes` (the first is 0) in (1 − e^(−h)) D_t + Σ_i b_i (D_i − D_t)/r_i."""
        moments = exponential_moments(h, len(nodes))
        weights = np.zeros(len(nodes))
        weights[0] = moments[0]
        ratios = nodes[1:] / h
        if len(ratios) == 1:
            shares = np.array([0.5 * (h if self.variant == "bh1" else -np.expm1(-h))])
        elif len(ratios) > 1:
            shares = np.linalg.solve(np.vander(ratios, increasing=True).T, moments[1:])
        else:
            return weights
        weights[1:] = shares / ratios
        weights[0] -= np.sum(shares / ratios)
        return weights
