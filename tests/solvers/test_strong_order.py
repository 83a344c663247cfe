"""Strong order one on a shared Brownian path.

The exact step of (★) takes z = √2 η ∫ e^(−η²(λs − λ)) dW / √(1 − e^(−2η²h)): over a coarse step this is a weighted sum
of the fine steps' z. Every pixel of one image is a path of its own.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from solvers_table import name

from jaxdiff.analytic import GaussianMixture
from jaxdiff.conformance.march import march
from jaxdiff.solvers import DDIM, DDPM, DPMpp

LOW, HIGH, FINE, PATHS = -2.0, 1.0, 2048, 200
MIXTURE = GaussianMixture(np.array([[-0.9], [0.6]]), np.array([0.2, 0.4]), np.array([0.4, 0.6]))


def pixels(x, lam, cond):
    """Each pixel is drawn from the same mixture."""
    return jax.vmap(lambda value: MIXTURE(value, lam))(x)


def coarser(z: np.ndarray, factor: int, eta: float) -> np.ndarray:
    """The noise of steps `factor` times as long, (steps, paths, 1)."""
    rate = eta**2 * (HIGH - LOW) / len(z)
    decay = np.exp(-rate * np.arange(factor)[::-1])[:, None, None]
    share = np.expm1(-2 * rate) / np.expm1(-2 * rate * factor)
    return np.sqrt(share) * np.sum(z.reshape(-1, factor, *z.shape[1:]) * decay, 1)


def from_table(table, key, k, shape, dtype):
    """A noise source, the same for every image."""
    return table[k]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("solver", "eta"),
    [(DDPM(), 1.0), (DDIM(eta=1.0), 1.0), (DPMpp(order=2, eta=1.0), 1.0), (DPMpp(order=1, eta=0.5), 0.5)],
    ids=lambda value: str(value) if isinstance(value, float) else name(value),
)
def test_strong_order_one(solver, eta):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(1, PATHS, 1)), rng.normal(size=(FINE, PATHS, 1))

    def run(n):
        table = jnp.zeros_like(z).at[:n].set(coarser(z, FINE // n, eta))  # of one shape: one compiled loop
        source = jax.tree_util.Partial(from_table, table)
        return np.asarray(march(solver, pixels, np.linspace(LOW, HIGH, n + 1), x, noise=source))

    exact = run(FINE)
    calls = (16, 32, 64, 128)
    errors = [np.sqrt(np.mean((run(n) - exact) ** 2)) for n in calls]
    assert -np.polyfit(np.log(calls), np.log(errors), 1)[0] >= 0.85, errors
    assert errors[-1] < 0.02, errors
