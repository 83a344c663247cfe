"""Grids: where they end, that they rise, and the rules of spacing as the original codes write them."""

import numpy as np
import pytest

from jaxdiff.process import grids
from jaxdiff.process.schedules import Cosine, DiscreteBetas, Karras, LinearBeta, Rectified, SubVP, VarianceExploding

DISCRETE = DiscreteBetas(np.linspace(1e-4, 0.02, 1000))
SCHEDULES = [LinearBeta(), Cosine(), Rectified(), VarianceExploding(), Karras(), SubVP(), DISCRETE]
UNIFORM = [grids.uniform_lam, grids.uniform_time, grids.quadratic, grids.karras]

schedules = pytest.mark.parametrize("s", SCHEDULES, ids=lambda s: type(s).__name__)
uniform = pytest.mark.parametrize("grid", UNIFORM, ids=lambda grid: grid.__name__)


@schedules
@uniform
@pytest.mark.parametrize("n", [2, 8, 20, 200])
def test_grids_rise_inside_the_schedule(s, grid, n):
    lam = grid(s, n)
    assert lam.dtype == np.float64
    assert lam.shape == (n,)
    assert np.all(np.diff(lam) > 0)
    np.testing.assert_allclose(lam[0], grids.default_start(s))
    assert lam[-1] <= s.lam_max + 1e-9
    np.testing.assert_allclose(lam[-1], grids.default_end(s, n))
    ends = grid(s, n, lam_min=-1.5, lam_max=2.25)
    np.testing.assert_allclose(ends[[0, -1]], [-1.5, 2.25])


@schedules
@uniform
def test_one_call_is_made_at_the_noise_end(s, grid):
    np.testing.assert_allclose(grid(s, 1), [grids.default_start(s)], rtol=1e-12)


def test_default_start_is_where_an_image_is_lost_in_the_noise():
    """The schedule's end, or, where that is further out, λ = −6 − log std."""
    assert grids.default_start(VarianceExploding()) == -np.log(50)
    assert grids.default_start(Rectified()) == -6.0
    np.testing.assert_allclose(grids.default_start(Rectified(), std=0.5), -6.0 + np.log(2))
    # the mean of 64 × 64 pixels, all alike: its variance over that of the noise in it
    assert 64 * 64 * np.exp(2 * grids.default_start(Rectified())) < 0.03


def test_default_end_moves_with_calls_and_with_the_spread_of_the_data():
    """Near λ = 2.5 at 8 calls and 3.5 at 20 for data of unit standard deviation; −log std further on for narrower data."""
    s = Rectified()
    assert abs(grids.default_end(s, 8) - 2.5) < 0.05
    assert abs(grids.default_end(s, 20) - 3.5) < 0.05
    np.testing.assert_allclose(grids.default_end(s, 20, std=0.25) - grids.default_end(s, 20), np.log(4))
    np.testing.assert_allclose(grids.uniform_lam(s, 20, std=0.25)[-1], grids.default_end(s, 20, std=0.25))
    assert grids.default_end(s, 10**9) == s.lam_max


def test_uniform_spacings():
    s = LinearBeta()
    np.testing.assert_allclose(np.diff(grids.uniform_lam(s, 11)), np.ptp(grids.uniform_lam(s, 11)) / 10)
    times = s.to_time(grids.uniform_time(s, 11))
    np.testing.assert_allclose(np.diff(times), np.ptp(times) / -10, rtol=1e-9)


def test_quadratic_spacing():
    """√t uniform: for rectified flow t = 1/(1 + e^λ)."""
    roots = np.sqrt(1 / (1 + np.exp(grids.quadratic(Rectified(), 9, lam_min=-3.0, lam_max=4.0))))
    np.testing.assert_allclose(np.diff(roots), np.ptp(roots) / -8, rtol=1e-9)


def test_karras_spacing_is_edms():
    """σ_i = (σ_max^(1/ρ) + i/(N−1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ, arXiv 2206.00364, eq. 5."""
    n, rho, low, high = 18, 7.0, 0.002, 80.0
    i = np.arange(n)
    sigmas = (high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    s = Karras(low, high)
    np.testing.assert_allclose(np.exp(-grids.karras(s, n, rho=rho, lam_max=s.lam_max)), sigmas, rtol=1e-12)
    np.testing.assert_allclose(np.exp(-grids.uniform_time(s, n, lam_max=s.lam_max)), sigmas, rtol=1e-9)


def ddpm_steps(spacing, n, total=1000, offset=0):
    """Trained steps in sampling order, as code for 1000-step models lays them."""
    if spacing == "leading":
        return (np.arange(0, n) * (total // n)).round()[::-1].astype(int) + offset
    if spacing == "linspace":
        return np.linspace(0, total - 1, n).round()[::-1].astype(int)
    if spacing == "quadratic":
        return np.array([int(s) for s in np.linspace(0, np.sqrt(total * 0.8), n) ** 2])[::-1]
    return np.round(np.arange(total, 0, -total / n)).astype(int) - 1


@pytest.mark.parametrize(
    ("spacing", "n"),
    [
        *((spacing, n) for spacing in ("leading", "linspace", "trailing") for n in (1, 7, 20, 50, 1000)),
        *(("quadratic", n) for n in (1, 7, 20, 29)),
    ],
)
def test_discrete_grids_are_trained_steps(spacing, n):
    bar = np.cumprod(1 - DISCRETE.betas)
    steps = ddpm_steps(spacing, n)
    wanted = 0.5 * np.log(bar[steps] / (1 - bar[steps]))
    np.testing.assert_allclose(grids.discrete(DISCRETE, n, spacing), wanted, rtol=1e-9)


def test_discrete_offset():
    bar = np.cumprod(1 - DISCRETE.betas)[ddpm_steps("leading", 20, offset=1)]
    got = grids.discrete(DISCRETE, 20, "leading", offset=1)
    np.testing.assert_allclose(got, 0.5 * np.log(bar / (1 - bar)), rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grids.uniform_lam(LinearBeta(), 0), "got n=0 calls; expected at least 1"),
        (lambda: grids.uniform_lam(LinearBeta(), 8, lam_max=50.0), r"got a grid from .* to 50; expected rising values"),
        (lambda: grids.karras(LinearBeta(), 8, lam_min=3.0, lam_max=1.0), "expected rising values inside"),
        (lambda: grids.discrete(DISCRETE, 1001), "got n=1001 calls; expected 1 to 1000"),
        (lambda: grids.discrete(DISCRETE, 10, "middle"), "got spacing='middle'; expected 'leading'"),
        (lambda: grids.discrete(DISCRETE, 30, "quadratic"), "takes some of 1000 steps twice; expected n up to 29"),
        (lambda: grids.discrete(DISCRETE, 10, "leading", offset=100), "got offset=100, which reaches step 1000"),
        (lambda: grids.discrete(DISCRETE, 10, "leading", offset=-1), "got offset=-1, which reaches step -1"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
