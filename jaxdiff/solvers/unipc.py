"""Unified predictor-corrector."""

from typing import ClassVar, Literal

import equinox as eqx
import numpy as np

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point
from jaxdiff.solvers.multistep import LinearMultistep, Weights, a_row_later, exponential_moments, over_history, powers


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
        xp = namespace(h)
        table = Weights.of(at, "x0").filled(
            predictor_y=to.sigma / at.sigma,
            predictor_v=over_history(at, self.order, lambda k, nodes: to.alpha[k, None] * self._residual(h[k], nodes)),
        )
        if not self.corrector:
            return table

        def corrector(k, nodes):
            # The next row calls D at the predicted state: y_{k+1} from y_k with that value as one more node.
            ahead = self._residual(h[k], xp.concatenate([nodes, h[k, None]], 1))
            # columns: D_{k+1} first, then D_k, D_{k−1} …
            return to.alpha[k, None] * xp.concatenate([ahead[:, -1:], ahead[:, :-1]], 1)

        return table.filled(
            corrector_x=np.where(np.arange(len(h)) > 0, 0.0, 1.0),
            corrector_y=a_row_later(to.sigma / at.sigma),
            corrector_v=a_row_later(over_history(at, self.order, corrector)),
        )

    @property
    def convergence_order(self) -> int:
        return self.order + self.corrector

    def _residual(self, h, nodes):
        """Weights of D at `nodes` (m, n), the first 0, in (1 − e^(−h)) D_t + Σ_i b_i (D_i − D_t)/r_i."""
        xp, size = namespace(h, nodes), nodes.shape[1]
        moments = exponential_moments(h, size)
        if size == 1:
            return moments
        ratios = nodes[:, 1:] / h[:, None]
        if size == 2:
            shares = 0.5 * (h if self.variant == "bh1" else -xp.expm1(-h))[:, None]
        else:
            shares = xp.linalg.solve(powers(ratios, size - 1), moments[:, 1:, None])[..., 0]
        slopes = shares / ratios
        return xp.concatenate([moments[:, :1] - xp.sum(slopes, axis=1, keepdims=True), slopes], 1)
