"""Diffusion exponential integrator sampler."""

from typing import ClassVar, Literal

import equinox as eqx

from jaxdiff.solvers.base import Point
from jaxdiff.solvers.multistep import LinearMultistep, Weights, over_history, phi_weights


class DEIS(LinearMultistep):
    """The ODE with ε̂ interpolated in λ (log-ρ) through the last `order` calls:

        x_s = (α_s/α_t) x_t − σ_s ∫_0^h e^(h−τ) ε̂_{t+τ} dτ,

    which is the quadrature of `phi_weights` at rate −1. Order 1 is DDIM.
    Zhang and Chen 2023, "Fast sampling of diffusion models with exponential integrator", arXiv 2204.13902.
    """

    order: Literal[1, 2, 3] = eqx.field(default=3, static=True)
    exponential: ClassVar[bool] = True

    def __check_init__(self):
        if self.order not in (1, 2, 3):
            raise ValueError(f"got order={self.order}; expected 1, 2 or 3")

    @property
    def keeps_history(self) -> bool:
        return self.order > 1

    def weights(self, at: Point, to: Point) -> Weights:
        h = to.lam - at.lam
        quadrature = over_history(at, self.order, lambda k, nodes: to.sigma[k, None] * phi_weights(h[k], nodes, -1.0))
        return Weights.of(at, "eps").filled(predictor_y=to.alpha / at.alpha, predictor_v=quadrature)
