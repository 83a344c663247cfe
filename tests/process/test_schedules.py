"""Every schedule: inverse, derivative, closed form, finite ends. A new one is one line in each of the two tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxdiff as jd
from jaxdiff.process.schedules import (
    BrownianBridge,
    Cosine,
    DiscreteBetas,
    Karras,
    LinearBeta,
    LogNormal,
    Rectified,
    SubVP,
    VarianceExploding,
)

BETAS = np.linspace(1e-4, 0.02, 1000)
SCHEDULES = [
    LinearBeta(),
    LinearBeta(0.05, 8.0),
    Cosine(),
    Cosine(s=0.1),
    Rectified(),
    VarianceExploding(),
    Karras(),
    Karras(rho=3.0),
    SubVP(),
    BrownianBridge(),
    BrownianBridge(s=0.1),
    LogNormal(),
    LogNormal(mean=0.5, std=0.3),
    DiscreteBetas(BETAS),
]
TIMES = np.linspace(0.003, 0.997, 211)

each = pytest.mark.parametrize("s", SCHEDULES, ids=lambda s: type(s).__name__)


def signal_and_noise(s, t):
    """(a, σ) of y = a x0 + σ ε in the schedule's own process, as its paper writes them; None without a closed form."""
    match s:
        case LinearBeta() | SubVP():
            a = np.exp(-0.25 * t**2 * (s.beta_max - s.beta_min) - 0.5 * t * s.beta_min)
            return a, np.sqrt(1 - a**2) if isinstance(s, LinearBeta) else 1 - a**2
        case Cosine():
            f = lambda t: np.cos((t + s.s) / (1 + s.s) * np.pi / 2) ** 2  # noqa: E731
            return np.sqrt(f(t) / f(0)), np.sqrt(1 - f(t) / f(0))
        case Rectified():
            return 1 - t, t
        case BrownianBridge():
            return 1 - t, np.sqrt(2 * s.s * t * (1 - t))
        case VarianceExploding():
            return np.ones_like(t), s.sigma_min * (s.sigma_max / s.sigma_min) ** t
        case Karras():
            low, high = s.sigma_min ** (1 / s.rho), s.sigma_max ** (1 / s.rho)
            return np.ones_like(t), (low + t * (high - low)) ** s.rho
        case LogNormal():
            return np.ones_like(t), np.exp(s.mean + s.std * scipy.stats.norm.ppf(t))
        case DiscreteBetas():
            index = (np.arange(s.num) + 1) / s.num
            bar = np.cumprod(1 - s.betas)
            return None if not np.isin(t, index).all() else (np.sqrt(bar), np.sqrt(1 - bar))


def closed_rate(s, t):
    """dλ/dt in closed form, or None."""
    a_sigma = signal_and_noise(s, t)
    match s:
        case LinearBeta():
            return -(s.beta_min + t * (s.beta_max - s.beta_min)) / (2 * a_sigma[1] ** 2)
        case Rectified():
            return -1 / (t * (1 - t))
        case BrownianBridge():
            return -1 / (2 * t * (1 - t))
        case VarianceExploding():
            return np.full_like(t, -np.log(s.sigma_max / s.sigma_min))
        case SubVP():  # a = e^(−B/2): d log a = −β/2, d log(1 − a²) = β a²/(1 − a²)
            beta = s.beta_min + t * (s.beta_max - s.beta_min)
            return -beta / 2 - beta * a_sigma[0] ** 2 / a_sigma[1]
        case LogNormal():
            return -s.std / scipy.stats.norm.pdf(scipy.stats.norm.ppf(t))
        case Cosine():
            half = np.pi / 2 / (1 + s.s)
            angle = (t + s.s) * half
            return -half * np.tan(angle) / a_sigma[1] ** 2
        case _:
            return None


@each
def test_closed_form(s):
    t = (np.arange(1000) + 1) / 1000 if isinstance(s, DiscreteBetas) else TIMES
    a, noise = signal_and_noise(s, t)
    np.testing.assert_allclose(s.to_lam(t), np.clip(np.log(a / noise), s.lam_min, s.lam_max), rtol=1e-9, atol=1e-9)


@each
def test_time_and_lam_are_inverse(s):
    lams = np.linspace(s.lam_min, s.lam_max, 301)
    np.testing.assert_allclose(s.to_lam(s.to_time(lams)), lams, atol=1e-9)
    times = TIMES if not isinstance(s, DiscreteBetas) else np.linspace(1 / s.num, 1, 333)
    np.testing.assert_allclose(s.to_time(s.to_lam(times)), times, atol=1e-9)


@each
def test_lam_falls_and_ends_are_finite_and_kept(s):
    assert np.isfinite([s.lam_min, s.lam_max]).all()
    assert s.lam_min < s.lam_max
    assert np.all(np.diff(s.to_lam(TIMES)) < 0)
    np.testing.assert_allclose([s.to_lam(0.0), s.to_lam(1.0)], [s.lam_max, s.lam_min], atol=1e-6)
    np.testing.assert_allclose([s.to_time(-50.0), s.to_time(50.0)], [s.to_time(s.lam_min), s.to_time(s.lam_max)])
    assert 0 <= s.to_time(s.lam_max) < s.to_time(s.lam_min) <= 1
    for t in (0, 1, 0.0, 1.0, np.linspace(0, 1, 1001)):
        assert np.all(s.to_lam(t) >= s.lam_min - 1e-9)
        assert np.all(s.to_lam(t) <= s.lam_max + 1e-9)


@each
@pytest.mark.usefixtures("x64")
def test_autodiff_derivative(s):
    # inside one linear piece of a table, and away from where the ends clip
    t = (np.arange(7, 993, 13) + 0.5) / 1000 if isinstance(s, DiscreteBetas) else np.linspace(0.02, 0.98, 97)
    rate = jax.vmap(jax.grad(s.to_lam))(jnp.asarray(t))
    step = 1e-6
    np.testing.assert_allclose(rate, (s.to_lam(t + step) - s.to_lam(t - step)) / (2 * step), rtol=1e-6)
    if closed_rate(s, t) is not None:
        np.testing.assert_allclose(rate, closed_rate(s, t), rtol=1e-10)
    back = jax.vmap(jax.grad(s.to_time))(s.to_lam(jnp.asarray(t)))
    np.testing.assert_allclose(back * rate, 1.0, rtol=1e-8)


@each
def test_no_nan_in_value_or_gradient_at_the_ends(s):
    for t in (0.0, 1e-12, 1e-6, 1 - 1e-7, 1.0):
        value, rate = jax.value_and_grad(s.to_lam)(jnp.float32(t))
        assert np.isfinite(value)
        assert np.isfinite(rate)
        assert s.lam_min - 1e-2 <= value <= s.lam_max + 1e-2
    for lam in (-60.0, s.lam_min, 0.0, s.lam_max, 60.0):
        value, rate = jax.value_and_grad(s.to_time)(jnp.float32(lam))
        assert 0 <= value <= 1
        assert np.isfinite(rate)


@each
def test_float32_agrees_with_float64(s):
    t = np.linspace(0, 1, 513)  # exact in both
    got = s.to_lam(jnp.asarray(t, jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got[1:-1], s.to_lam(t)[1:-1], atol=2e-5)
    lams = np.linspace(-8, 8, 65).clip(s.lam_min, s.lam_max)
    np.testing.assert_allclose(s.to_time(jnp.asarray(lams, jnp.float32)), s.to_time(lams), atol=2e-6)


def test_discrete_betas_are_exactly_the_trained_steps():
    """ᾱ of step i at t = (i + 1)/T, linear in λ between, constant below 1/T."""
    s = DiscreteBetas(BETAS)
    bar = np.cumprod(1 - BETAS)
    lams = s.to_lam((np.arange(1000) + 1) / 1000)
    np.testing.assert_allclose(1 / (1 + np.exp(-2 * lams)), bar, rtol=1e-12)
    np.testing.assert_allclose(s.to_lam(0.5005), (lams[499] + lams[500]) / 2, rtol=1e-12)
    assert s.to_lam(0.0) == s.to_lam(0.0004) == lams[0] == s.lam_max


@pytest.mark.parametrize("first", [1e-4, 0.0])
def test_no_image_at_the_end_and_no_noise_at_the_start_are_finite_ends(first):
    """√ᾱ shifted to 0 at the end, as diffusers' rescale_betas_zero_snr: β_T = 1; everywhere else λ is that of its ᾱ."""
    root = np.sqrt(np.cumprod(1 - BETAS))
    bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    betas = 1 - np.append(bar[0], bar[1:] / bar[:-1])
    assert betas[-1] == 1
    betas[0], bar = first, bar * (1 - first) / bar[0]
    s = DiscreteBetas(betas)
    assert s.lam_min == -10
    assert np.all(np.diff(s.lams) < 0)
    assert np.all(np.isfinite(s.lams))
    inner = slice(1 if first == 0 else 0, -1)
    np.testing.assert_allclose(1 / (1 + np.exp(-2 * s.lams[inner])), bar[inner], rtol=1e-9)
    assert first or s.lam_max == 10
    np.testing.assert_allclose(s.to_time(s.lams), np.arange(1, 1001) / 1000, rtol=1e-12)
    np.testing.assert_array_equal(jd.grids.discrete(s, 4, "trailing"), s.lams[[999, 749, 499, 249]])
    assert np.all(np.isfinite(jax.grad(lambda t: s.to_lam(t).sum())(jnp.array([0.0, 0.5, 0.9995, 1.0]))))


@pytest.mark.parametrize("betas", [[0.0, 1.0], [0.5, 1.0], [0.0, 0.5], [0.5, 1 - 1e-12, 1.0]])
def test_the_shortest_tables_with_such_ends(betas):
    lams = DiscreteBetas(betas).lams
    assert np.all(np.isfinite(lams))
    assert np.all(np.diff(lams) < 0)


def test_linear_beta_is_the_limit_of_the_discrete_betas():
    """β_i = β(t_i)/T for T → ∞ (Song et al. 2021, appendix B)."""
    t, error = np.linspace(0.1, 1, 10), []
    for total in (1000, 10_000):
        betas = (0.1 + (np.arange(total) + 1) / total * 19.9) / total
        error.append(np.abs(DiscreteBetas(betas).to_lam(t) - LinearBeta().to_lam(t)).max())
    assert error[1] < 0.15 * error[0] < 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearBeta(beta_min=-1.0), "got beta_min=-1.0; expected more than 0"),
        (lambda: LinearBeta(1.0, 0.5), "got beta_max=0.5; expected more than 1.0"),
        (lambda: SubVP(beta_min=0.0), "got beta_min=0.0"),
        (lambda: Cosine(s=-0.1), "got s=-0.1"),
        (lambda: VarianceExploding(sigma_min=0.0), "got sigma_min=0.0"),
        (lambda: Karras(sigma_max=0.001), "got sigma_max=0.001"),
        (lambda: Karras(rho=0.0), "got rho=0.0"),
        (lambda: LogNormal(std=0.0), "got std=0.0"),
        (lambda: BrownianBridge(s=0.0), "got s=0.0"),
        (lambda: DiscreteBetas([0.1, 1.0, 1.0]), r"got betas\[1\] = 1 of 3; expected at least two numbers inside"),
        (lambda: DiscreteBetas([0.1, 0.0, 0.2]), r"got betas\[1\] = 0 of 3"),
        (lambda: DiscreteBetas([1.0, 0.5]), r"got betas\[0\] = 1 of 2"),
        (lambda: DiscreteBetas([0.1, 1.5]), r"got betas\[1\] = 1.5 of 2"),
        (lambda: DiscreteBetas([0.1, float("nan")]), r"got betas\[1\] = nan of 2"),
        (lambda: DiscreteBetas(0.1), "expected at least two numbers inside"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
