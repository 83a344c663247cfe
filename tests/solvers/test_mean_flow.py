"""Steps with the mean of D: exact on Gaussian data in closed form, DDIM with D, refused where there is no such mean."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdiff as jd
from jaxdiff.guidance import remembering
from jaxdiff.guidance.posterior import DPS, Measurement
from jaxdiff.physics.operators import Mask
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.solvers import Replaced

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 6))
COV, MEAN = ROOT @ ROOT.T / 6 + 0.01 * np.eye(6), RNG.normal(size=(3, 2))
with jax.enable_x64(True):
    GAUSSIAN = jd.analytic.Gaussian(MEAN, COV)
X = RNG.normal(size=(4, 3, 2))
KEY = jax.random.key(0)


def flow(x, lam, to):
    """The probability flow by hand: along each axis of the covariance x − α m scales with the marginal's deviation."""
    variances, basis = np.linalg.eigh(COV)
    spread = lambda lam: np.sqrt(alpha(lam) ** 2 * variances + sigma(lam) ** 2)  # noqa: E731
    rest = (np.reshape(x, (len(x), -1)) - alpha(lam) * MEAN.reshape(-1)) @ basis
    return (alpha(to) * MEAN.reshape(-1) + (rest * spread(to) / spread(lam)) @ basis.T).reshape(np.shape(x))


def mean_over(x, lam, to):
    """X(x, λ, λ') as a network with a span is asked for it."""
    span = 1 / (1 + np.exp(lam)) - 1 / (1 + np.exp(to))
    return np.asarray(jax.vmap(lambda x: GAUSSIAN(x, lam, {"span": span}))(jnp.asarray(x)))


def sampled(grid, solver=None, denoise=GAUSSIAN, **options):
    options = {"start": X, "num": len(X), **options}
    return jd.sample(KEY, denoise, shape=(3, 2), solver=solver or jd.MeanFlow(), grid=np.asarray(grid), **options)


@pytest.mark.parametrize("grid", [[-4.0], [-4.0, -1.0], [-4.0, -3.9, 0.0, 2.0, 7.0]])
def test_follows_the_flow_however_few_the_calls(grid):
    out = sampled(grid)
    assert out.nfe == len(grid)
    np.testing.assert_allclose(out.images, flow(X, -4.0, np.inf), atol=1e-12)
    np.testing.assert_allclose(sampled([*grid, 8.0], final="state").images, flow(X, -4.0, 8.0), atol=1e-12)


def test_mean_is_the_integral_and_composes():
    lam, middle, to = -1.5, 0.5, 2.0
    rho = np.exp(np.linspace(lam, to, 4001))
    D = [np.asarray(jax.vmap(GAUSSIAN, (0, None))(jnp.asarray(flow(X, lam, at)), at)) for at in np.log(rho)[::40]]
    integral = np.trapezoid(D, rho[::40], axis=0) / (rho[-1] - rho[0])
    np.testing.assert_allclose(mean_over(X, lam, to), integral, atol=2e-4)
    first, second = mean_over(X, lam, middle), mean_over(flow(X, lam, middle), middle, to)
    weights = np.exp(middle) - np.exp(lam), np.exp(to) - np.exp(middle)
    np.testing.assert_allclose(
        mean_over(X, lam, to), (weights[0] * first + weights[1] * second) / sum(weights), atol=1e-12
    )
    np.testing.assert_allclose(mean_over(X, lam, lam), jax.vmap(GAUSSIAN, (0, None))(jnp.asarray(X), lam), atol=1e-14)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_samples_have_the_mean_and_covariance_of_the_data(eta):
    """The run is affine in start and noise: both moments by its Jacobian, without drawing."""
    grid = np.array([-12.0, -1.0, 1.0])

    def run(start, z):
        noise = lambda key, k, shape, dtype: z[k].astype(dtype)  # noqa: E731
        return jd.sample(
            KEY, GAUSSIAN, shape=(3, 2), num=1, solver=jd.MeanFlow(eta), grid=grid, start=start[None], noise=noise
        ).images[0]

    zero, none = jnp.zeros((3, 2)), jnp.zeros((3, 3, 2))
    by_start, by_noise = jax.jacobian(run, (0, 1))(zero, none)
    by_start, by_noise = by_start.reshape(6, 6), by_noise.reshape(6, -1)
    np.testing.assert_allclose(run(zero, none), MEAN, atol=1e-4)
    np.testing.assert_allclose(by_start @ by_start.T + by_noise @ by_noise.T, COV, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_with_d_it_is_ddim(eta):
    def d(x, lam, cond=None):
        assert set(cond or {}) <= {"span"}
        return GAUSSIAN(x, lam)

    grid = np.linspace(-4, 2, 7)
    np.testing.assert_allclose(
        sampled(grid, jd.MeanFlow(eta), d, final="state").images,
        sampled(grid, jd.DDIM(eta), d, final="state").images,
        atol=1e-13,
    )


def test_condition_guidance_memory_and_trajectory_pass_it_on():
    told = []

    def d(x, lam, cond):
        told.append(sorted(cond))
        return GAUSSIAN(x, lam, {"span": cond["span"]})

    class Counting(remembering.Remembering):
        denoise: eqx.Module
        calls: ClassVar[list] = []

        def update(self, x, lam, cond, memory, step):
            return self.denoise(x, lam, cond), memory

    exact = flow(X, -4.0, np.inf)
    label = {"label": jnp.zeros(len(X), jnp.int32)}
    np.testing.assert_allclose(sampled([-4.0, 0.0], denoise=d, cond=label).images, exact, atol=1e-12)
    with pytest.warns(UserWarning, match="ClassifierFree with MeanFlow: guidance of means over steps"):
        guided = sampled([-4.0, 0.0], denoise=jd.guidance.classifier_free(d, 2.0), cond=label)
    np.testing.assert_allclose(guided.images, exact, atol=1e-12)
    assert {*map(tuple, told)} == {("label", "span")}
    np.testing.assert_allclose(sampled([-4.0, 0.0], denoise=Counting(GAUSSIAN)).images, exact, atol=1e-12)
    out = sampled([-4.0, 0.0], trajectory=1, keep_x0=True)
    np.testing.assert_allclose(out.trajectory[:, 0], flow(X, -4.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(out.x0[:, 0], mean_over(X, -4.0, 0.0), atol=1e-12)


def test_what_has_no_mean_is_refused():
    network = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))
    bound = jd.bind(network, {"params": {}})
    mixture = jd.analytic.GaussianMixture(X, np.ones(4))
    known = np.ones((3, 2), bool)
    measured = DPS(GAUSSIAN, Measurement(Mask(np.ones((3, 1), bool)), X[0], 0.1))
    for expected, call in {
        "reads_span=True": lambda: sampled([-4.0], denoise=bound),
        "UNet that is not told": lambda: sampled([-4.0], denoise=jd.guidance.classifier_free(bound, 2.0)),
        "no closed form": lambda: sampled([-4.0], denoise=mixture),
        "posterior": lambda: sampled([-4.0], denoise=measured),
        "clean end at once": lambda: Replaced(jd.MeanFlow(), known, X[0]),
        "expected a dict": lambda: sampled([-4.0], cond=jnp.zeros((4, 1)), denoise=lambda x, lam, cond: x),
        "eta=-0.1": lambda: jd.MeanFlow(-0.1),
    }.items():
        with pytest.raises(ValueError, match=expected):
            call()


def test_an_nnx_module_says_that_it_reads_a_span():
    class Told(nnx.Module):
        reads_span = True

        def __init__(self):
            self.weight = nnx.Param(jnp.ones(2))

        def __call__(self, x, lam, cond=None):
            return self.weight * x * cond["span"][:, None, None]

    told = sampled([-4.0, 0.0], denoise=jd.bind(Told(), predicts="x0"))
    assert np.isfinite(told.images).all()
    assert not hasattr(jd.from_nnx(Told()), "num_classes")


def test_its_grid_leads_to_the_clean_end_in_equal_steps():
    grid = jd.grids.flow_time(jd.Cosine(), 4)
    t = 1 / (1 + np.exp(grid))
    np.testing.assert_allclose(np.diff([*t, 0.0]), -t[0] / 4, rtol=1e-12)
    assert grid[0] == jd.grids.uniform_lam(jd.Cosine(), 4)[0]
    np.testing.assert_allclose(jd.grids.flow_time(jd.Cosine(), 3, lam_min=-1.0)[0], -1.0)
    short = jd.grids.flow_time(jd.Karras(), 1000)  # the last of equal steps would begin beyond the schedule's end
    assert (np.diff(short) > 0).all()
    np.testing.assert_allclose(short[-1], jd.Karras().lam_max)
    with pytest.raises(ValueError, match="n=0"):
        jd.grids.flow_time(jd.Cosine(), 0)
