"""Data distributions whose probability flow is known: what solvers are tested on.

A problem is a denoiser with the exact flow: `problem.flow(x, lam, lams)` brings states x (num, *shape) at λ = `lam`
along the ODE to each of `lams`. Float64: call it under `jax.enable_x64(True)`.
"""

from dataclasses import dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.analytic import Gaussian, GaussianMixture
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
class MixtureProblem:
    """A Gaussian mixture; the flow is solved in λ to 1e-13 by an eighth-order method, of the ODE written out here."""

    means: np.ndarray
    stds: np.ndarray
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.means.shape[1:]

    @property
    def denoise(self) -> GaussianMixture:
        return GaussianMixture(self.means, self.stds, self.weights)

    def flow(self, x, lam, lams) -> np.ndarray:
        states = np.asarray(_flow(self.denoise, jnp.asarray(x), jnp.asarray(lam), jnp.sort(jnp.asarray(lams))))
        return states[np.argsort(np.argsort(lams))]


@jax.jit
def _flow(denoise: GaussianMixture, x, lam, lams):
    def drift(lam, x, args):
        a2 = jax.nn.sigmoid(2 * lam)
        return jnp.sqrt(a2) * denoise(x, lam) - a2 * x

    def solve(x):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(drift),
            diffrax.Dopri8(),
            t0=lam,
            t1=lams[-1],
            dt0=0.01,
            y0=x,
            saveat=diffrax.SaveAt(ts=lams),
            stepsize_controller=diffrax.PIDController(rtol=1e-13, atol=1e-13),
            max_steps=20_000,
        ).ys

    return jax.vmap(solve, out_axes=1)(x)


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
