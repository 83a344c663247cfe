"""The predictor-corrector sampler of the score-SDE paper."""

import dataclasses
import math
import warnings
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, Solver, array_leaf, eta_leaf
from jaxdiff.solvers.multistep import noise_share

FEWEST, FEW = 3, 32
"""Values of an image from which the size of a step has a mean, and from which its bias is below 15 %."""


class _Weights(NamedTuple):
    keep: Any
    pull: Any
    fresh: Any
    corrects: Any
    """The corrector's snr in its rows, 0 in the predictor's."""


class PredictorCorrector(Solver):
    """At each λ `corrections` steps of Langevin, which bring x closer to the marginal there, then one step on.

    Predictor: (★) at `eta` with D frozen, solved exactly (`process/gaussian.py`, equation 3); η = 1 is the ancestral step.
    Corrector: x + ε s + √(2ε) z with the score s = (α D − x)/σ² and, for each image by itself,

        ε = 2 (snr ‖z‖/‖s‖)²,

    norms over the whole image (the paper's code takes their means over the batch, and for the VP SDE the factor 1 − β of
    the discrete step, 0.98 to 1). With r = α D − x and q = snr σ ‖z‖/‖r‖ this is
    x + 2 q² r + 2 q σ z, where nothing overflows; an image whose score is exactly 0 is left as it is.

    Each row calls D once: a grid of n values costs n (corrections + 1) calls, the last of which is the result.

    As in the paper the corrector's step does not shrink with that of the grid, and leaves a bias that finer grids do not
    take away: on isotropic Gaussian images of d values, 1 + snr² + 4/(d − 2) times the variance, to first order (0.06 too
    much from the last term at d = 64). With one value or two a score near 0 makes steps that have no mean: one
    is refused with `ValueError`; below 32 values `sample` warns, with the bias, at each call.
    The score needs the digits in which D and x/α differ: in float32 end the grid before
    λ = 4 where images are smooth (the default grids of up to 30 values do).
    Song et al. 2021, "Score-based generative modeling through stochastic differential equations", arXiv 2011.13456,
    algorithms 2-5.
    """

    corrections: int = eqx.field(default=1, static=True)
    snr: np.ndarray = eqx.field(default=0.16, converter=array_leaf)
    eta: np.ndarray = eqx.field(default=1.0, converter=eta_leaf)
    order: ClassVar[int] = 1
    exponential: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    def __check_init__(self):
        if self.corrections < 0:
            raise ValueError(f"got corrections={self.corrections}; expected 0 or more; to fix: the paper takes 1")

    @property
    def kernel(self):
        """What is in the table is left out: changing it compiles nothing, where the rows are as many."""
        return dataclasses.replace(self, corrections=min(self.corrections, 1), snr=0.0, eta=0.0)

    def check_shape(self, shape):
        size = math.prod(shape)
        if not self.corrections or size >= FEW:
            return
        text = f"got images of shape {tuple(shape)} for PredictorCorrector, {size} values; expected {FEW} or more: its steps "
        text += "are the norm of noise over that of the score, and "
        if size < FEWEST:
            text += f"have no mean below {FEWEST}"
        else:
            snr2 = float(np.max(self.snr)) ** 2 if not isinstance(self.snr, Tracer) else 0.0
            text += f"the variance of samples is about {1 + snr2 + 4 / (size - 2):.2f} times the right one"
        text += "; to fix: jd.DDPM(), or corrections=0"
        if size == 1:
            raise ValueError(text)
        warnings.warn(text, stacklevel=3)

    @property
    def keeps_history(self) -> bool:
        return False

    def nodes(self, grid):
        xp = namespace(grid)
        start = xp.repeat(grid, self.corrections + 1)[:-1]
        return start, xp.where(_predicts(len(start), self.corrections), xp.append(start, grid[-1])[1:], start)

    def weights(self, at: Point, to: Point) -> _Weights:
        h, eta2 = to.lam - at.lam, self.eta**2
        predicts = _predicts(len(h), self.corrections)
        xp = namespace(h, self.eta, self.snr)
        return _Weights(
            xp.where(predicts, to.sigma / at.sigma * xp.exp(-eta2 * h), 1.0),
            xp.where(predicts, -to.alpha * xp.expm1(-(1.0 + eta2) * h), 0.0),
            xp.where(predicts, to.sigma * noise_share(self.eta, xp.where(predicts, h, 1.0)), 0.0),
            xp.where(predicts, 0.0, self.snr),
        )

    def update(self, denoise, x, at, to, noise, memory):
        assert noise is not None
        w: _Weights = at.weights
        x0 = denoise(x, at.lam)
        r = at.alpha * x0 - x
        square = jnp.sum(r**2)
        q = w.corrects * at.sigma * jnp.sqrt(jnp.sum(noise**2) / jnp.where(square > 0, square, jnp.inf))
        return w.keep * x + w.pull * x0 + 2.0 * q**2 * r + (w.fresh + 2.0 * q * at.sigma) * noise, memory


def _predicts(rows: int, corrections: int) -> np.ndarray:
    """Which rows lead to the next value of the grid: every (corrections + 1)-th."""
    return np.arange(rows) % (corrections + 1) == corrections
