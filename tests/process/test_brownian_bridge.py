"""The Brownian bridge of Li et al. 2023 is (★) for z − m y, in float64: its marginals, and its posteriors step by step."""

import numpy as np
import pytest

from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.process.schedules import BrownianBridge
from jaxdiff.solvers.base import Point
from jaxdiff.solvers.ddim import DDIM
from jaxdiff.solvers.ddpm import DDPM

TIMES = np.linspace(0, 1, 51)[1:-1]
SCALES = [0.25, 1.0, 3.0]


def chain(s, times):
    """The bridge by its transitions alone, z_u = r z_t + (m_u − r m_t) y + noise.

    Rows of (coefficient of x0, coefficient of y, variance), and the coefficient r that led to each.
    """
    rows, ratios = [np.array([1.0, 0.0, 0.0])], []
    before = 0.0
    for m in times:
        r = (1 - m) / (1 - before)
        delta = lambda m: 2 * s * (m - m**2)  # noqa: E731
        x0, y, variance = rows[-1]
        rows.append(np.array([r * x0, r * y + m - r * before, r**2 * variance + delta(m) - r**2 * delta(before)]))
        ratios.append(r)
        before = m
    return np.array(rows[1:]), np.array(ratios)


@pytest.mark.parametrize("s", SCALES)
def test_the_marginals_less_the_source_are_those_of_the_process(s):
    rows, _ = chain(s, TIMES)
    np.testing.assert_allclose(rows[:, 1], TIMES, rtol=1e-12)  # all of y is m y
    scale = np.sqrt(rows[:, 0] ** 2 + rows[:, 2])
    lam = BrownianBridge(s=s).to_lam(TIMES)
    np.testing.assert_allclose(rows[:, 0] / scale, alpha(lam), rtol=1e-12)
    np.testing.assert_allclose(rows[:, 2] / scale**2, sigma(lam) ** 2, rtol=1e-12)


def steps(lam):
    """Rows of `at` and `to` for sampling from each λ to the one before it in time."""
    return [Point(part, alpha(part), sigma(part)) for part in (lam[1:], lam[:-1])]


@pytest.mark.parametrize("s", SCALES)
def test_the_posteriors_are_ancestral_steps_and_know_no_source(s):
    """q(z_t | z_u, x0, y) by conditioning the joint Gaussian of the chain, in the coordinates of the process."""
    rows, ratios = chain(s, TIMES)
    scale = np.sqrt(rows[:, 0] ** 2 + rows[:, 2])
    (x0_t, y_t, variance_t), (x0_u, y_u, variance_u) = rows[:-1].T, rows[1:].T
    gain = ratios[1:] * variance_t / variance_u  # covariance of z_t and z_u over the variance of z_u
    # With z = w + m y: what is left of y in w_t, given w_u and x0.
    np.testing.assert_allclose(y_t - gain * y_u + gain * TIMES[1:] - TIMES[:-1], 0, atol=1e-13)
    step = DDPM().weights(*steps(BrownianBridge(s=s).to_lam(TIMES)))
    np.testing.assert_allclose(gain * scale[1:] / scale[:-1], step.predictor_y, rtol=1e-10)
    np.testing.assert_allclose((x0_t - gain * x0_u) / scale[:-1], step.predictor_v[:, 0], rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(variance_t - gain**2 * variance_u) / scale[:-1], step.predictor_z, rtol=1e-10)


@pytest.mark.parametrize("s", SCALES)
def test_its_sampler_without_noise_is_ddim(s):
    """z_t = (1 − m_t) x0 + m_t y + √δ_t ε̂ with the ε̂ of z_u: the bridge with the variance of its steps set to 0."""
    m, root = TIMES, np.sqrt(2 * s * (TIMES - TIMES**2))
    scale = np.hypot(1 - m, root)
    x0, y, z = np.random.default_rng(0).normal(size=(3, m.size - 1))
    eps = (z - (1 - m[1:]) * x0 - m[1:] * y) / root[1:]
    bridge = (1 - m[:-1]) * x0 + m[:-1] * y + root[:-1] * eps
    step = DDIM().weights(*steps(BrownianBridge(s=s).to_lam(m)))
    ours = step.predictor_y * (z - m[1:] * y) / scale[1:] + step.predictor_v[:, 0] * x0
    np.testing.assert_allclose(ours * scale[:-1] + m[:-1] * y, bridge, rtol=1e-10, atol=1e-12)


def test_bridges_of_another_variance_are_shifted_in_lam():
    wide = BrownianBridge(s=4.0).to_lam(TIMES) - BrownianBridge().to_lam(TIMES)
    np.testing.assert_allclose(wide, -np.log(2), rtol=1e-12)
    assert BrownianBridge().to_lam(1 / 3) == pytest.approx(0, abs=1e-12)  # (1 − m)² = 2 m (1 − m)
