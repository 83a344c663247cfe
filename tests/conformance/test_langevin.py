"""Steps that stay at a λ: which leave the marginal there, told by drift and noise alone."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.conformance.langevin import UNBALANCED, imbalance
from jaxdiff.conformance.subject import Subject

ROWS = jnp.linspace(0.5, 2.0, 8)[:, None, None]


class Corrector(jd.PredictorCorrector):
    """DDPM's steps with one of Langevin before each, of fixed size."""

    drift: float = 1.0
    mixing: bool = False

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        size = jnp.where(at.weights.corrects > 0, 1e-3, 0.0) * at.sigma**2 * (ROWS if self.mixing else 1.0)
        score = (at.alpha * x0 - x) / at.sigma**2
        corrected = self.drift * size * score + jnp.sqrt(2 * size) * noise
        return at.weights.keep * x + at.weights.pull * x0 + at.weights.fresh * noise + corrected, memory


class Exact(jd.PredictorCorrector):
    """The corrector as the exact step of an Ornstein-Uhlenbeck process towards N(α D, σ²)."""

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        kept = jnp.where(at.weights.corrects > 0, 0.9, 1.0)
        x = at.alpha * x0 + kept * (x - at.alpha * x0) + jnp.sqrt(1 - kept**2) * at.sigma * noise
        return at.weights.keep * x + at.weights.pull * x0 + at.weights.fresh * noise, memory


@pytest.mark.parametrize(
    "solver", [jd.PredictorCorrector(), jd.PredictorCorrector(corrections=3, snr=0.3, eta=0.0), Corrector(), Exact()]
)
def test_right_steps_are_balanced(solver):
    assert imbalance(Subject(solver, 0.0)) <= UNBALANCED


def test_so_are_those_with_another_size_for_each_pixel():
    assert imbalance(Subject(Corrector(mixing=True), 0.0)) <= UNBALANCED


@pytest.mark.parametrize("drift", [0.0, -1.0, 0.99, 1.01])
def test_drift_that_does_not_match_the_noise_is_told_by_its_share(drift):
    wanted = abs(drift - 1) / max(abs(drift), 1)
    np.testing.assert_allclose(imbalance(Subject(Corrector(drift=drift), 0.0)), wanted, atol=2e-3)


def test_solvers_without_such_steps_are_not_asked():
    for solver in (jd.DDPM(), jd.DDIM(), jd.PredictorCorrector(corrections=0), jd.DPMpp(order=2, eta=1.0)):
        assert imbalance(Subject(solver, 0.0)) is None
