"""Steps with the mean of D along them, which few-step networks have learned."""

from typing import ClassVar

import equinox as eqx
import numpy as np

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, Solver, eta_leaf
from jaxdiff.solvers.ddim import coefficients


class MeanFlow(Solver):
    """DDIM with X, the mean of D along the step, for D: exact, however long the step.

    X(x, λ, λ') is the mean over ρ = e^λ along the probability flow, which for y = x/σ is dy/dρ = D. With `eta` the flow is
    followed beyond λ_s, to e^(−λ') = √(1 − s²/σ_s²) e^(−λ_s) with DDIM's s, and noise leads back, so that the marginals stay
    what they are; at eta = 1 long steps go to the clean end and back nearly whole, the multistep sampling of consistency
    models. The last call leads to the clean end.

    The denoiser is called as `denoise(x, lam, span=t − t')` with t = σ/(α + σ). Networks read a span that were trained with
    `jaxdiff.training.mean_denoising.MeanDenoising`, and `jd.analytic.Gaussian` does.

    X: Geng et al. 2025, "Mean flows for one-step generative modeling", arXiv 2505.13447, whose average velocity is
    (z − X)/t at z = x/(α + σ). Beyond and back: Kim et al. 2023, arXiv 2310.02279, γ-sampling; Song et al. 2023, arXiv
    2303.01469.
    """

    eta: np.ndarray = eqx.field(default=0.0, converter=eta_leaf)
    order: ClassVar[int] = 1
    exponential: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True
    reads_span: ClassVar[bool] = True
    last_step: ClassVar[float] = np.inf

    def weights(self, at: Point, to: Point):
        carried, share, std = coefficients(at, to, self.eta)
        xp = namespace(at.lam, to.lam)
        start, end = xp.exp(-at.lam), xp.exp(-to.lam) * carried  # σ/α
        span = start * share / ((1.0 + start) * (1.0 + end))
        return span, to.sigma / at.sigma * carried, to.alpha * share, std

    def update(self, denoise, x, at, to, noise, memory):
        span, carried, weight, std = at.weights
        return carried * x + weight * denoise(x, at.lam, span=span) + std * noise, None
