"""DPM-Solver++ and its stochastic form."""

from typing import ClassVar, Literal

import equinox as eqx
import numpy as np

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, eta_leaf
from jaxdiff.solvers.multistep import LinearMultistep, Weights, noise_share, over_history, phi_weights


class DPMpp(LinearMultistep):
    """(★) with D interpolated in λ through the last `order` calls; η = 0 the ODE, η = 1 the reverse-time SDE.

    Multiplying (★) by its integrating factor gives, exactly,
        x_s = (σ_s/σ_t) e^(−η²h) x_t + α_s ∫_0^h (1+η²) e^(−(1+η²)(h−τ)) D_{t+τ} dτ + σ_s √(1 − e^(−2η²h)) z.
    The integral is taken of the interpolating polynomial; at order 2 the slope's weight is ½ (1 − e^{−(1+η²)h}), the
    paper's 2M, which differs by a term of third order. `eta` is (★)'s, the square root of k-diffusion's.
    Lu et al. 2022, "DPM-Solver++", arXiv 2211.01095; Xue et al. 2023, "SA-Solver", arXiv 2305.19947.
    """

    order: Literal[1, 2, 3] = eqx.field(default=2, static=True)
    eta: np.ndarray = eqx.field(default=0.0, converter=eta_leaf)
    exponential: ClassVar[bool] = True

    def __check_init__(self):
        if self.order not in (1, 2, 3):
            raise ValueError(f"got order={self.order}; expected 1, 2 or 3")

    @property
    def keeps_history(self) -> bool:
        return self.order > 1

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        xp, rate = namespace(h, self.eta), 1.0 + self.eta**2

        def quadrature(k, nodes):
            if nodes.shape[1] == 2:
                even = -xp.expm1(-rate * h[k])
                slope = 0.5 * even * h[k] / -nodes[:, 1]
                weights = xp.stack([even + slope, -slope], axis=1)
            else:
                weights = phi_weights(h[k], nodes, rate)
            return to.alpha[k, None] * weights

        return Weights.of(at, "x0").filled(
            predictor_y=to.sigma / at.sigma * xp.exp(-(self.eta**2) * h),
            predictor_v=over_history(at, self.order, quadrature),
            predictor_z=to.sigma * noise_share(self.eta, h),
        )
