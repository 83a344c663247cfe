"""The identities between methods, in float64 to 1e-10: one step of each is the same step of the others.

A denoiser that returns a fixed random D makes a step a formula in (x, D, z, λt, λs); each identity is then written out
as its paper writes it and compared with the solver's own update.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.process.schedules import SubVP
from jaxdiff.solvers import DDIM, DDPM, DEIS, IPNDM, DPMpp
from jaxdiff.solvers.base import tabulate

pytestmark = pytest.mark.usefixtures("x64")

STEPS = [(-9.0, -8.5), (-3.0, -1.0), (-0.3, 0.4), (0.0, 0.01), (1.0, 4.0), (6.0, 9.5)]
RNG = np.random.default_rng(0)
X, D, Z = RNG.normal(size=(3, 7))


def step(solver, at: float, to: float):
    """The solver's first update from λ = `at` to `to`."""
    row = tabulate(solver, np.array([at, to]), "state")
    row = jax.tree.map(lambda leaf: leaf[0], row)
    return np.asarray(solver.update(lambda x, lam: D, X, row.at, row.to, Z, solver.memory(jnp.asarray(X)))[0])


def exponential_step(at, to, eta):
    """Equation (3) of process/gaussian.py: (★) with D frozen, solved exactly."""
    h = to - at
    z = sigma(to) * np.sqrt(-np.expm1(-2 * eta**2 * h)) * Z
    decay = sigma(to) / sigma(at) * np.exp(-(eta**2) * h)
    return decay * X - alpha(to) * np.expm1(-(1 + eta**2) * h) * D + z


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("at", "to"), STEPS)
class TestDeterministic:
    """All the first-order methods of the ODE are one."""

    def test_exponential_euler(self, at, to):
        close(step(DDIM(), at, to), exponential_step(at, to, 0.0))

    def test_ddim_of_song(self, at, to):
        """√ᾱ_s x̂0 + √(1 − ᾱ_s) ε̂ (arXiv 2010.02502, eq. 12)."""
        bar_t, bar_s = (1 / (1 + np.exp(-2 * lam)) for lam in (at, to))
        eps = (X - np.sqrt(bar_t) * D) / sigma(at)
        close(step(DDIM(), at, to), np.sqrt(bar_s) * D + sigma(to) * eps)

    def test_dpm_solver_1(self, at, to):
        """(α_s/α_t) x − σ_s (e^h − 1) ε̂ (arXiv 2206.00927, eq. 3.7)."""
        eps = (X - alpha(at) * D) / sigma(at)
        wanted = alpha(to) / alpha(at) * X - sigma(to) * np.expm1(to - at) * eps
        for solver in (DDIM(), DEIS(order=1), DEIS(order=3), IPNDM(order=1)):
            close(step(solver, at, to), wanted)

    def test_dpm_solver_pp_1(self, at, to):
        """(σ_s/σ_t) x − α_s (e^(−h) − 1) D (arXiv 2211.01095, eq. 4.2)."""
        wanted = sigma(to) / sigma(at) * X - alpha(to) * np.expm1(at - to) * D
        for solver in (DDIM(), DPMpp(order=1), DPMpp(order=3)):
            close(step(solver, at, to), wanted)

    def test_euler_in_noise_to_signal(self, at, to):
        """EDM's Euler: dy/ds = (y − D)/s for y = x/α, s = σ/α (arXiv 2206.00364, algorithm 1 without correction)."""
        y, s, s_to = X / alpha(at), np.exp(-at), np.exp(-to)
        close(step(DDIM(), at, to), alpha(to) * (y + (s_to - s) * (y - D) / s))

    def test_euler_on_the_velocity_of_rectified_flow(self, at, to):
        """y = (1 − t) x0 + t ε, dy/dt = ε̂ − x̂0 (arXiv 2209.03003)."""
        t, t_to = (1 / (1 + np.exp(lam)) for lam in (at, to))
        scale, scale_to = (np.hypot(1 - u, u) for u in (t, t_to))  # y = scale x
        y = scale * X
        velocity = (y - D) / t
        close(step(DDIM(), at, to), (y + (t_to - t) * velocity) / scale_to)


@pytest.mark.parametrize(("at", "to"), STEPS)
class TestStochastic:
    """At η = 1 the exponential step of the SDE, DDIM and the posterior of DDPM are one."""

    def test_all_are_the_exponential_step(self, at, to):
        for solver in (DDPM(), DDIM(eta=1.0), DPMpp(order=1, eta=1.0), DPMpp(order=2, eta=1.0)):
            close(step(solver, at, to), exponential_step(at, to, 1.0))

    @pytest.mark.parametrize("eta", [0.3, 0.8, 1.7])
    def test_eta_of_dpmpp_is_that_of_the_equation(self, at, to, eta):
        close(step(DPMpp(order=1, eta=eta), at, to), exponential_step(at, to, eta))

    def test_posterior_of_ddpm(self, at, to):
        """q(x_s | x_t, x0) by Bayes: precision and mean from q(x_s | x0) and q(x_t | x_s)."""
        ratio = alpha(at) / alpha(to)
        # σ²_{t|s} = σ_t² − ratio² σ_s², written without cancellation
        forward = -(sigma(at) ** 2) * np.expm1(2 * (at - to))
        precision = 1 / sigma(to) ** 2 + ratio**2 / forward
        mean = (alpha(to) * D / sigma(to) ** 2 + ratio * X / forward) / precision
        close(step(DDPM(), at, to), mean + Z / np.sqrt(precision))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_songs_family(eta):
    """Eq. 12 and 16: σ_τ(η) = η √((1 − ᾱ_s)/(1 − ᾱ_t)) √(1 − ᾱ_t/ᾱ_s)."""
    at, to = -0.8, 0.3
    bar_t, bar_s = (1 / (1 + np.exp(-2 * lam)) for lam in (at, to))
    fresh = eta * np.sqrt((1 - bar_s) / (1 - bar_t)) * np.sqrt(1 - bar_t / bar_s)
    eps = (X - np.sqrt(bar_t) * D) / np.sqrt(1 - bar_t)
    wanted = np.sqrt(bar_s) * D + np.sqrt(1 - bar_s - fresh**2) * eps + fresh * Z
    close(step(DDIM(eta=eta), at, to), wanted)


def test_three_meanings_of_eta_part_between_zero_and_one():
    """At h = η = ½ the noise in units of σ_s: Song's, (★)'s, and k-diffusion's, whose eta is the square of (★)'s η."""
    h = eta = 0.5
    song = step(DDIM(eta=eta), 0.0, h)
    star, k_diffusion = step(DPMpp(order=1, eta=eta), 0.0, h), step(DPMpp(order=1, eta=np.sqrt(eta)), 0.0, h)
    shares = [eta**2 * (1 - np.exp(-2 * h)), 1 - np.exp(-2 * eta**2 * h), 1 - np.exp(-2 * eta * h)]
    for got, share in zip((song, star, k_diffusion), shares):
        decay = np.sqrt((1 - share) * sigma(h) ** 2) / sigma(0.0)
        close(got, decay * (X - alpha(0.0) * D) + alpha(h) * D + sigma(h) * np.sqrt(share) * Z)


def test_reverse_sde_of_subvp_is_ours_at_eta_one():
    """Song's sub-VP SDE (arXiv 2011.13456, eq. 13): dy = −½ β y dt + √(β (1 − e^(−2B))) dW, score −ε̂/s, s = 1 − e^(−B).

    Drift and diffusion of its reverse, after division by √(a² + s²) and the change of clock, against (★) at η = 1.
    """
    schedule = SubVP()
    t = 0.37
    beta = schedule.beta_min + t * (schedule.beta_max - schedule.beta_min)
    big_b = schedule.beta_min * t + 0.5 * (schedule.beta_max - schedule.beta_min) * t**2
    a, s = np.exp(-0.5 * big_b), -np.expm1(-big_b)
    diffusion2 = beta * -np.expm1(-2 * big_b)
    # derivatives of log √(a² + s²) and of λ = log(a/s) in t
    ds = beta * np.exp(-big_b)
    dscale = (-0.5 * beta * a**2 + s * ds) / (a**2 + s**2)
    dlam = -0.5 * beta - ds / s
    scale, lam = np.hypot(a, s), np.log(a / s)
    close(float(schedule.to_lam(t)), lam)

    y = scale * X
    score = -(y - a * D) / s**2
    reverse = -0.5 * beta * y - diffusion2 * score  # dy/dt, t falling
    drift = (reverse / scale - dscale * X) / dlam
    close(drift, 2 * alpha(lam) * D - (alpha(lam) ** 2 + 1) * X)
    close(diffusion2 / scale**2 / -dlam, 2 * sigma(lam) ** 2)
