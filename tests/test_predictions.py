"""The kinds of prediction, and some of one's own, against their definitions, each other and back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.config import override
from jaxdiff.predictions import PREDICTIONS, F, PredictionKind, V, from_x0, kind_of, name_of, to_x0
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.stored_config import OwnLoop, check_round_trip

LAMS = (-9.0, -3.0, 0.0, 0.7, 4.0, 9.0)
RNG = np.random.default_rng(0)
X0, EPS = RNG.normal(size=(2, 5, 4, 2))

pytestmark = pytest.mark.usefixtures("x64")


def noised(lam):
    return jnp.asarray(alpha(lam) * X0 + sigma(lam) * EPS)


def definitions(lam, sigma_data=1.0):
    """What each kind is, from x0 and ε, as its paper writes it."""
    a, s = alpha(lam), sigma(lam)
    t, y = s / (a + s), a / (a + s) * X0 + s / (a + s) * EPS
    noise = s / a  # EDM's σ, at y_edm = x0 + σ ε
    c_skip = sigma_data**2 / (noise**2 + sigma_data**2)
    c_out = noise * sigma_data / np.sqrt(noise**2 + sigma_data**2)
    np.testing.assert_allclose(y, (1 - t) * X0 + t * EPS, atol=1e-14)
    return {
        "x0": X0,
        "eps": EPS,
        "v": a * EPS - s * X0,
        "score": -EPS / s,
        "velocity": EPS - X0,
        "F": (X0 - c_skip * (X0 + noise * EPS)) / c_out,
    }


def close(got, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(got, wanted, atol=2e-9 * max(1.0, np.abs(wanted).max()))


class Mixed(PredictionKind):
    """A part x0 and a part ε: p and q alone."""

    share: float = 0.3

    def coefficients(self, lam):
        part = (1 - self.share) / sigma(lam)
        return part, self.share - part * alpha(lam)


class LogRatio(PredictionKind):
    """√α v: both conversions, without p and q."""

    def to_x0(self, output, *, x, lam):
        return alpha(lam) * x - sigma(lam) * output / alpha(lam) ** 0.5

    def from_x0(self, x0, *, x, lam):
        return alpha(lam) ** 0.5 * (alpha(lam) * x - x0) / sigma(lam)


OWN = (Mixed(), Mixed(0.9), LogRatio())


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("kind", [*PREDICTIONS, *OWN], ids=str)
@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
class TestEachKind:
    def test_definition(self, kind, lam, sigma_data):
        if kind in OWN:
            return
        at = dict(x=noised(lam), lam=lam, sigma_data=sigma_data)
        close(from_x0(kind, X0, **at), definitions(lam, sigma_data)[kind])
        close(to_x0(kind, definitions(lam, sigma_data)[kind], **at), X0)

    def test_round_trip_of_any_output(self, kind, lam, sigma_data):
        """Also for what no true x0 gives, the output of a network."""
        at, output = dict(lam=lam, sigma_data=sigma_data), jnp.asarray(RNG.normal(size=X0.shape))
        x0 = to_x0(kind, output, x=noised(lam), **at)
        # relative to the numbers that cancel: x0 holds the output times |σ/α|, next to x/α
        scale = np.abs(np.asarray(from_x0(kind, jnp.abs(x0), x=-jnp.abs(noised(lam)), **at))).max()
        np.testing.assert_allclose(from_x0(kind, x0, x=noised(lam), **at), output, atol=1e-13 * max(1, scale))

    def test_cycle_through_all_others(self, kind, lam, sigma_data):
        at, x0 = dict(x=noised(lam), lam=lam, sigma_data=sigma_data), X0
        for other in (kind, *PREDICTIONS, *OWN, kind):
            x0 = to_x0(other, from_x0(other, x0, **at), **at)
        close(x0, X0)

    def test_what_training_asks_is_what_the_conversions_say(self, kind, lam, sigma_data):
        """The error of an output, times its factor, is α/σ times the error of the x0 that it means."""
        made, output = kind_of(kind, sigma_data), RNG.normal(size=X0.shape)
        error, factor = made.error(output, x0=X0, eps=EPS, lam=lam)
        x = alpha(lam) * X0 + sigma(lam) * EPS
        x0_error = alpha(lam) / sigma(lam) * (made.to_x0(output, x=x, lam=lam) - X0)
        scale = np.abs(alpha(lam) / sigma(lam) * x).max()
        np.testing.assert_allclose(np.abs(factor * error), np.abs(x0_error), atol=1e-11 * max(1, scale))
        assert error.dtype == np.float64


@pytest.mark.parametrize("lam", LAMS)
def test_f_at_unit_sigma_data_is_minus_v(lam):
    at = dict(x=noised(lam), lam=lam)
    close(from_x0("F", X0, **at), -from_x0("v", X0, **at))


@pytest.mark.parametrize("lam", LAMS)
def test_preconditioning_of_edm(lam):
    """D = c_skip y + c_out F(c_in y) with table 1 of arXiv 2206.00364, for a network that is F."""
    sigma_data, noise = 0.5, np.exp(-lam)
    y, output = noised(lam) / alpha(lam), RNG.normal(size=X0.shape)
    c_skip = sigma_data**2 / (noise**2 + sigma_data**2)
    c_out = noise * sigma_data / np.sqrt(sigma_data**2 + noise**2)
    close(to_x0("F", output, x=noised(lam), lam=lam, sigma_data=sigma_data), c_skip * y + c_out * output)


@pytest.mark.parametrize("lam", LAMS)
def test_score_and_velocity_of_a_gaussian(lam):
    """With the exact denoiser: the score is the gradient of log p(x), by autodiff, and the velocity moves the mean of
    y = (1 − t) x0 + t ε as d/dt does."""
    mean, cov = np.array([[0.5], [-1.0]]), np.array([[0.6, 0.2], [0.2, 0.9]])
    x = jnp.asarray(RNG.normal(size=(2, 1)))

    def log_density(x):
        spread = alpha(lam) ** 2 * cov + sigma(lam) ** 2 * np.eye(2)
        return jax.scipy.stats.multivariate_normal.logpdf(x.reshape(-1), alpha(lam) * mean.reshape(-1), spread)

    x0 = Gaussian(mean, cov)(x, lam)
    close(from_x0("score", x0, x=x, lam=lam), jax.grad(log_density)(x))
    at_mean = jnp.asarray(alpha(lam) * mean)
    close(from_x0("velocity", Gaussian(mean, cov)(at_mean, lam), x=at_mean, lam=lam), -mean)


def test_float32_at_the_ends_is_finite_and_right():
    for lam in (-10.0, 10.0):
        a, s = (np.float32(f(lam)) for f in (alpha, sigma))
        x = a * X0.astype(np.float32) + s * EPS.astype(np.float32)
        for kind in PREDICTIONS:
            output = definitions(lam)[kind].astype(np.float32)
            x0 = to_x0(kind, jnp.asarray(output), x=jnp.asarray(x), lam=jnp.float32(lam))
            assert x0.dtype == jnp.float32
            # ε̂ and the score cannot tell x0 at the noise end: rounding comes back times σ/α
            slack = 1.0 if kind in ("x0", "v", "velocity", "F") else np.exp(-lam)
            np.testing.assert_allclose(x0, X0, atol=3e-6 * max(1.0, slack))


@pytest.mark.parametrize("kind", ["noise", 3, V])
def test_what_is_no_kind_is_refused(kind):
    for convert in (to_x0, from_x0):
        with pytest.raises(ValueError, match=r"got predicts=.*; expected one of x0, eps"):
            convert(kind, X0, x=X0, lam=0.0)


def test_names_and_kinds_belong_together():
    assert [name_of(kind_of(name, 0.5)) for name in PREDICTIONS] == list(PREDICTIONS)
    assert name_of(Mixed()) is None
    assert kind_of(Mixed(0.4)) == Mixed(0.4) != Mixed(0.5)
    np.testing.assert_array_equal(kind_of("F", 0.5).sigma_data, 0.5)


def test_a_kind_without_a_conversion_is_refused_when_it_is_made():
    class OneWay(PredictionKind):
        def to_x0(self, output, *, x, lam):
            return output

    with pytest.raises(ValueError, match=r"got OneWay without a conversion.*to fix: write one"):
        OneWay()


class Outputs:
    """A network whose parameters are its output."""

    def apply(self, params, x, lam, cond=None):
        return params + 0 * x


def test_an_own_kind_is_bound_and_new_numbers_of_it_are_no_new_trace():
    traced, network = [], Outputs()

    @jax.jit
    def call(denoise, x):
        traced.append(1)
        return denoise(x, jnp.float64(0.7))

    for kind in (Mixed(0.3), Mixed(0.6)):
        x0 = call(jd.bind(network, jnp.asarray(0.2), kind), noised(0.7))
        p, q = kind.coefficients(0.7)
        np.testing.assert_allclose(x0, (0.2 - p * noised(0.7)) / q, rtol=1e-12)
    assert len(traced) == 1


@pytest.mark.parametrize("kind", [Mixed(0.4), LogRatio()], ids=str)
def test_an_own_kind_has_the_loss_and_gradient_of_the_x0_that_it_stands_for(kind):
    batch, at = {"image": X0[..., None, :]}, lambda key, i, total: (jnp.float32(i / 2 - 1.0), jnp.float32(1))

    class Guess:
        def __init__(self, predicts):
            self.predicts = predicts

        def apply(self, params, x, lam, cond):
            return jax.vmap(lambda x, lam: from_x0(self.predicts, 0 * x + params, x=x, lam=lam))(x, lam)

    def value_and_grad(predicts):
        loss = jd.DenoisingLoss(lam_sampler=at, predicts=predicts)
        return jax.value_and_grad(lambda g: loss(Guess(predicts), g, jax.random.key(0), batch)[0])(jnp.float32(0.3))

    np.testing.assert_allclose(value_and_grad(kind), value_and_grad("x0"), rtol=1e-5)


def config(**fields):
    return TrainConfig(name="run", steps=1, **fields)


def test_a_config_takes_a_kind_gives_it_back_and_its_numbers_are_options():
    own = config(predicts=Mixed(0.7))
    check_round_trip(own)
    assert own.to_json()["predicts"] == {"type": "test_predictions:Mixed", "share": 0.7}
    assert override(own, ["--predicts.share", "0.9", "--batch-size", "3"]).predicts == Mixed(0.9)
    assert override(config(), ["--predicts", "eps"]).predicts == "eps"
    with pytest.raises(ValueError, match=r"got config.predicts of type test_predictions:Mixed"):
        TrainConfig.from_json(json.loads(json.dumps(own.to_json())))


def test_ours_have_one_form_in_a_run_folder():
    assert config(predicts=V()) == config(predicts="v") == config()
    assert (config(predicts=F(0.5)).predicts, config(predicts=F(0.5)).sigma_data) == ("F", 0.5)
    loop = OwnLoop(network=None, schedule=jd.Cosine(), predicts=F(0.5), patch=(8, 8))
    assert (loop.predicts, loop.sigma_data) == ("F", 0.5)
    with pytest.raises(ValueError, match="expected one of x0, eps"):
        config(predicts="noise")
