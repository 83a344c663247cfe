"""Denoising diffusion implicit models."""

from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, eta_leaf
from jaxdiff.solvers.multistep import LinearMultistep, Weights


class DDIM(LinearMultistep):
    """x_s = α_s D + √(σ_s² − s²) ε̂ + s z, with ε̂ = (x − α D)/σ and s = η σ_s √(1 − e^(−2h)).

    This `eta` is Song's, a noise level of each step; it meets (★)'s η at 0 (the probability-flow ODE by exponential
    Euler) and at 1 (`DDPM`) only. Raises `ValueError` where s > σ_s; a traced η or grid gives NaN there.
    Song, Meng and Ermon 2021, "Denoising diffusion implicit models", arXiv 2010.02502, eq. 12 and 16.
    """

    eta: np.ndarray = eqx.field(default=0.0, converter=eta_leaf)
    order: ClassVar[int] = 1
    exponential: ClassVar[bool] = True

    @property
    def keeps_history(self) -> bool:
        return False

    def weights(self, at: Point, to: Point) -> Weights:
        carried, share, std = coefficients(at, to, self.eta)
        return Weights.of(at, "x0").filled(
            predictor_y=to.sigma / at.sigma * carried,
            predictor_v=(to.alpha * share)[:, None],
            predictor_z=std,
        )


def coefficients(at: Point, to: Point, eta) -> tuple[Any, Any, Any]:
    """(√(1 − s²/σ_s²), 1 − e^(−h) √(1 − s²/σ_s²), s) of steps from `at` to `to`, without cancellation.

    Raises ValueError where there is less noise than `eta` asks for.
    """
    h = to.lam - at.lam
    xp = namespace(h, eta)
    new = eta**2 * -xp.expm1(-2.0 * h)  # s²/σ_s²
    if xp is np and (np.any(eta < 0) or np.any(new > 1.0)):
        raise ValueError(
            f"got eta={float(eta)}, which asks for more noise than there is at λ={float(to.lam.max()):.3g}; "
            "expected 0 <= eta and eta² (1 − e^(−2h)) <= 1 in every step; to fix: lower eta or take more steps"
        )
    carried = xp.sqrt(1.0 - new)
    share = -xp.expm1(-h) + xp.exp(-h) * new / (1.0 + carried)
    return carried, share, to.sigma * eta * xp.sqrt(-xp.expm1(-2.0 * h))
