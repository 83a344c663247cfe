"""Data distributions whose probability flow is known: what solvers are tested on.

A problem is a denoiser with the exact flow: `problem.flow(x, lam, lams)` brings states x (num, *shape) at λ = `lam`
along the ODE to each of `lams`, in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import softmax

from jaxdiff.analytic import Gaussian, GaussianMixture
from jaxdiff.denoiser import Denoiser
from jaxdiff.process.gaussian import alpha, sigma


@dataclass(frozen=True)
class GaussianProblem:
    """x0 ~ N(mean, cov): the flow scales each principal axis by the ratio of the marginals' standard deviations."""

    mean: np.ndarray
    cov: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    @property
    def denoise(self) -> Gaussian:
        return Gaussian(self.mean, self.cov)

    def marginal(self, lam) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of x at λ, flattened."""
        a, s = alpha(lam), sigma(lam)
        return a * self.mean.reshape(-1), a**2 * self.cov + s**2 * np.eye(self.mean.size)

    def flow(self, x, lam, lams) -> np.ndarray:
        rest = np.reshape(x, (len(x), -1)) - self.marginal(lam)[0]
        states = [self.marginal(to)[0] + rest @ self._gain(lam, to, 0.0).T for to in lams]
        return np.stack(states).reshape(len(lams), *np.shape(x))

    def transition(self, mean, cov, lam, to, eta: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance (flattened) at `to` under (★) at `eta`, from those at `lam`."""
        (centre, marginal), (centre_to, marginal_to) = self.marginal(lam), self.marginal(to)
        gain = self._gain(lam, to, eta)
        return centre_to + gain @ (mean - centre), marginal_to + gain @ (cov - marginal) @ gain.T

    def _gain(self, lam, to, eta: float) -> np.ndarray:
        """What x − α m is multiplied by, on average.

        Along a principal axis of variance c, with P = α² c + σ² there, (x − α m)/√P is an Ornstein-Uhlenbeck process of
        rate η² σ²/P = η²/(1 + c e^(2λ)), whose integral is η² (λ − ½ log(1 + c e^(2λ))).
        """
        variances, basis = np.linalg.eigh(self.cov)

        def spread(lam):
            return np.sqrt(alpha(lam) ** 2 * variances + sigma(lam) ** 2)

        def passed(lam):
            return eta**2 * (lam - 0.5 * np.log1p(variances * np.exp(2 * lam)))

        return basis * (spread(to) / spread(lam) * np.exp(passed(lam) - passed(to))) @ basis.T


@dataclass(frozen=True)
class MeansProblem(GaussianProblem):
    """The same, with a denoiser that knows its mean over a step."""

    @property
    def denoise(self) -> "Means":  # type: ignore[override]
        return Means(super().denoise)


class Means(eqx.Module):
    """A denoiser that a solver's spans reach."""

    denoise: Gaussian

    def __call__(self, x, lam, cond=None):
        return self.denoise(x, lam, cond)


def asked(denoise: Denoiser) -> Callable[..., Any]:
    """`denoise` as an update calls it; what does not know its means over steps is D, which they tend to."""
    known = isinstance(denoise, Means)
    return lambda x, lam, span=None: denoise(x, lam, {"span": span} if known and span is not None else None)


@dataclass(frozen=True)
class MixtureProblem:
    """A Gaussian mixture; the flow is solved in λ to 1e-13 by an eighth-order method."""

    means: np.ndarray
    stds: np.ndarray
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.means.shape[1:]

    @property
    def denoise(self) -> GaussianMixture:
        return GaussianMixture(self.means, self.stds, self.weights)

    def states(self, lam, num: int, seed: int = 0) -> np.ndarray:
        """`num` states at λ, of each component in turn."""
        rng, size = np.random.default_rng(seed), (num, *self.shape)
        of = np.arange(num) % len(self.stds)
        stds = self.stds[of].reshape(-1, *(1 for _ in self.shape))
        return alpha(lam) * (self.means[of] + stds * rng.normal(size=size)) + sigma(lam) * rng.normal(size=size)

    def flow(self, x, lam, lams) -> np.ndarray:
        def drift(lam, x):
            return (alpha(lam) * self._denoised(x.reshape(shape), lam) - alpha(lam) ** 2 * x.reshape(shape)).reshape(-1)

        shape, order = np.shape(x), np.argsort(lams)
        stops = np.asarray(lams, np.float64)[order]
        solved = solve_ivp(
            drift, (float(lam), stops[-1]), np.reshape(x, -1), method="DOP853", t_eval=stops, rtol=3e-14, atol=1e-14
        )
        return solved.y.T.reshape(len(stops), *shape)[np.argsort(order)]

    def _denoised(self, x, lam) -> np.ndarray:
        """D of states (num, *shape), written out once more, in NumPy."""
        ones = (1,) * len(self.shape)
        variance = (alpha(lam) * self.stds) ** 2 + sigma(lam) ** 2
        rest = x[:, None] - alpha(lam) * self.means
        square = np.sum(rest.reshape(*rest.shape[:2], -1) ** 2, axis=-1)
        share = softmax(np.log(self.weights) - 0.5 * square / variance - 0.5 * x[0].size * np.log(variance), axis=1)
        gain = (alpha(lam) * self.stds**2 / variance).reshape(-1, *ones)
        return np.sum(share.reshape(*share.shape, *ones) * (self.means + gain * rest), axis=1)


def _covariance(seed: int, size: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T / size + 0.02 * np.eye(size)


def _textured(size: int) -> GaussianProblem:
    """Square images with pixels correlated over two of their widths, and a little noise in each."""
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    brightness = np.linspace(-0.6, 0.8, size * size).reshape(size, size, 1)
    return GaussianProblem(brightness, 0.8 * np.exp(-distances / 2.0) + 0.02 * np.eye(size * size))


GAUSSIAN = GaussianProblem(np.array([[0.7], [-0.4], [0.1]]), _covariance(0, 3))
MIXTURE = MixtureProblem(
    np.array([[[0.9], [0.2]], [[-0.8], [0.5]], [[0.1], [-1.0]]]), np.array([0.3, 0.5, 0.2]), np.array([0.5, 0.3, 0.2])
)
IMAGE = _textured(8)
"""With as many values as a rule that takes norms over an image (the SNR rule of Langevin steps) needs to be steady."""
PROBLEMS: dict[str, GaussianProblem | MixtureProblem] = {"gaussian": GAUSSIAN, "mixture": MIXTURE}

_rng = np.random.default_rng(7)
_PLACES, _SIDES = 0.3 * _rng.normal(size=(3, 2, 3, 2)), np.sign(_rng.normal(size=(2, 3, 2)))
_STDS, _SHARES = np.array([0.5, 0.7, 0.4]), np.array([0.4, 0.35, 0.25])
WIDTH = 20.0
UNIT = MixtureProblem(_PLACES, _STDS, _SHARES)
"""Images of 2 × 3 pixels and two channels, no two of which are alike; values of about 1."""
WIDE = MixtureProblem(WIDTH * (_PLACES + 2.0 * _SIDES), WIDTH * _STDS, _SHARES)
"""`UNIT`, `WIDTH` times as wide and far from 0: values of about ±40, which no clipping to ±3 leaves as they are."""
HEAVY = MixtureProblem(_PLACES, np.array([0.3, 1.0, 20.0]), _SHARES)
"""Heavy tails: a mixture of scales, from 0.3 to 20."""
COLOURED = GaussianProblem(_PLACES[0, :, :2], _covariance(1, 8))
"""Images of 2 × 2 pixels and two channels, all values correlated."""
DISTANT = GaussianProblem(WIDTH * (_PLACES[0, :, :2] + 2.0 * _SIDES[:, :2]), WIDTH**2 * COLOURED.cov)
"""`COLOURED`, `WIDTH` times as wide and far from 0."""
STEPPED = MeansProblem(GAUSSIAN.mean, GAUSSIAN.cov)
"""`GAUSSIAN`, for solvers that ask for means over their steps."""
SINGLE = GaussianProblem(DISTANT.mean, np.zeros((8, 8)))
"""One image and no other: D is constant."""


def scaled(problem: GaussianProblem, width: float) -> GaussianProblem:
    """Data so many times as wide, which are resolved where λ is lower by log(width)."""
    return GaussianProblem(width * problem.mean, width**2 * problem.cov)


def uniform(problem: MixtureProblem, width: float, std: float) -> MixtureProblem:
    """Independent Gaussian values as a mixture of equal components, so that it runs in the mixture's program."""
    means = np.broadcast_to(width * problem.means[:1], problem.means.shape)
    return MixtureProblem(means, np.full_like(problem.stds, width * std), problem.weights)


class Stretch(NamedTuple):
    """A part of the clock, and how wide data are that are resolved in it."""

    width: float
    low: float
    high: float


ENDS = {
    "noise": Stretch(np.exp(7.0), -10.0, -4.4),
    "middle": Stretch(1.0, -4.5, 1.0),
    "clean": Stretch(np.exp(-3.0), 0.5, 6.0),
}
"""All the clock in pieces: what is wrong beyond some λ alone is wrong in one of them."""
