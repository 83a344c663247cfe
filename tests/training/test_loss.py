"""The loss against closed forms: conversions, weightings, strata, and the optimum on Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.condition import condition
from jaxdiff.predictions import PREDICTIONS, from_x0, kind_of, to_x0
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.process.schedules import (
    BrownianBridge,
    Cosine,
    Karras,
    LinearBeta,
    LogNormal,
    Rectified,
    SubVP,
    VarianceExploding,
)
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.loss import BINS, DenoisingLoss, binned
from jaxdiff.training.weighting import EDM, P2, MinSNR, Sigmoid, SNRPlusOne, Uniform

SCHEDULES = [
    *(BrownianBridge(), Cosine(), LinearBeta(), LogNormal()),
    *(Rectified(), VarianceExploding(), Karras(), SubVP()),
]
WEIGHTINGS = [Sigmoid(), Sigmoid(bias=-2.0), Uniform(), MinSNR(), MinSNR(gamma=1.0), SNRPlusOne(), P2(), EDM()]
KEY = jax.random.key(0)


class Guess:
    """A "network" whose parameters are its guess of x0, returned as any kind of prediction."""

    def __init__(self, predicts, sigma_data=1.0):
        self.predicts, self.sigma_data = predicts, sigma_data

    def apply(self, params, x, lam, cond, train=False, rngs=None):
        return jax.vmap(lambda g, x, lam: from_x0(self.predicts, g, x=x, lam=lam, sigma_data=self.sigma_data))(
            params, x, lam
        )


def spread(low, high):
    """A lam sampler: `total` values from low to high, density 1 / (high - low)."""
    return lambda key, index, total: (low + (high - low) * (index + 0.5) / total, jnp.float32(high - low))


def images(batch=8, size=4):
    return {"image": jax.random.normal(jax.random.key(7), (batch, size, size, 1))}


@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_target_and_factor_are_those_of_the_conversions(predicts, sigma_data):
    rng = np.random.default_rng(0)
    for lam in np.linspace(-6, 6, 13):
        x0, eps = rng.standard_normal((2, 5))
        x = alpha(lam) * x0 + sigma(lam) * eps
        kind, at = kind_of(predicts, sigma_data), dict(lam=lam, sigma_data=sigma_data)
        expected = from_x0(predicts, x0, x=x, **at)
        np.testing.assert_allclose(kind.target(x0=x0, eps=eps, lam=lam), expected, rtol=1e-9, atol=1e-9)
        x0_per_output = to_x0(predicts, 1.0, x=0.0, **at) - to_x0(predicts, 0.0, x=0.0, **at)
        factor = alpha(lam) / sigma(lam) * abs(x0_per_output)
        np.testing.assert_allclose(kind.eps_per_output(lam), factor, rtol=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
def test_every_prediction_gives_the_same_loss_and_gradient(weighting):
    batch = images()
    guess = 0.3 * batch["image"] + 0.1

    def value_and_grad(predicts):
        loss = DenoisingLoss(lam_sampler=spread(-2.5, 2.5), predicts=predicts, weighting=weighting, sigma_data=0.7)
        return jax.value_and_grad(lambda g: loss(Guess(predicts, 0.7), g, KEY, batch)[0])(guess)

    value, gradient = value_and_grad("x0")
    assert float(jnp.abs(gradient).min()) > 0
    for predicts in PREDICTIONS:
        other, other_gradient = value_and_grad(predicts)
        np.testing.assert_allclose(other, value, rtol=2e-5)
        np.testing.assert_allclose(other_gradient, gradient, rtol=1e-3, atol=1e-7)


def test_min_snr_is_the_clamped_snr_on_the_error_of_x0():
    batch, gamma = images(), 5.0
    loss = DenoisingLoss(lam_sampler=spread(-3, 3), predicts="v", weighting=MinSNR(gamma))
    value, _ = loss(Guess("v"), jnp.zeros_like(batch["image"]), KEY, batch)
    lam = -3 + 6 * (np.arange(8) + 0.5) / 8
    by_hand = np.minimum(np.exp(2 * lam), gamma) * np.mean(np.square(batch["image"]), axis=(1, 2, 3))
    np.testing.assert_allclose(value, by_hand.mean(), rtol=1e-5)


def test_p2_on_the_error_of_eps():
    batch, lam = images(), -3 + 6 * (np.arange(8) + 0.5) / 8
    loss = DenoisingLoss(lam_sampler=spread(-3, 3), predicts="x0", weighting=P2(gamma=0.5, k=2.0))
    value, _ = loss(Guess("x0"), jnp.zeros_like(batch["image"]), KEY, batch)
    snr = np.exp(2 * lam)
    by_hand = snr / np.sqrt(2 + snr) * np.mean(np.square(batch["image"]), axis=(1, 2, 3))
    np.testing.assert_allclose(value, by_hand.mean(), rtol=1e-5)


@pytest.mark.parametrize("schedule", [LogNormal(mean=-0.4, std=0.5), Cosine()], ids=lambda s: type(s).__name__)
def test_edm_is_the_mean_error_of_f_over_log_normal_noise_whatever_draws_it(schedule):
    """EDM's table 1 at sigma_data = 1: log σ ~ N(P_mean, P_std²), and λ(σ) c_out(σ)² = 1 on the error of F."""
    data = {"image": jax.random.normal(jax.random.key(3), (4096, 4, 4, 1))}
    loss = DenoisingLoss(lam_sampler=Stratified(schedule), predicts="F", weighting=EDM(mean=-0.4, std=0.5))
    value, _ = jax.jit(lambda: loss(Guess("F"), jnp.zeros_like(data["image"]), KEY, data))()
    # F of x0 = 0 is −c_skip x / c_out, that of the truth (x0 − c_skip x) / c_out.
    exact = 1 + np.exp(0.8 + 2 * 0.5**2)  # E x0² / c_out² = E (1 + 1/σ²) of a log-normal σ
    np.testing.assert_allclose(value, exact, rtol=0.03)


def test_snr_plus_one_is_the_plain_error_of_v():
    batch = images()
    loss = DenoisingLoss(lam_sampler=spread(-6, 6), predicts="v", weighting=SNRPlusOne())
    value, metrics = loss(Guess("v"), jnp.zeros_like(batch["image"]), KEY, batch)
    np.testing.assert_allclose(value, metrics["v_error"], rtol=1e-5)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_the_right_answer_costs_nothing(predicts):
    batch = images()
    loss = DenoisingLoss(lam_sampler=Stratified(Cosine()), predicts=predicts)
    value, metrics = loss(Guess(predicts), batch["image"], KEY, batch)
    assert 0 <= float(value) < 1e-8
    assert 0 <= float(metrics["v_error"]) < 1e-4


class Optimal:
    """The exact denoiser of pixels from N(0, std²), as a v network."""

    def __init__(self, std):
        self.std = std

    def apply(self, params, x, lam, cond, train=False, rngs=None):
        lam = lam.reshape(-1, 1, 1, 1)
        a, s = alpha(lam), sigma(lam)
        x0 = a * self.std**2 / (a**2 * self.std**2 + s**2) * x
        return from_x0("v", x0, x=x, lam=lam)


@pytest.mark.parametrize("schedule", [Cosine(), LinearBeta(), Rectified()], ids=lambda s: type(s).__name__)
def test_expected_loss_of_the_optimum_on_gaussian_data_whatever_draws_the_noise(schedule):
    std, bias, batch = 0.5, 1.0, 2048
    loss = DenoisingLoss(lam_sampler=Stratified(schedule), weighting=Sigmoid(bias))
    data = {"image": std * jax.random.normal(jax.random.key(3), (batch, 4, 4, 1))}
    value, _ = jax.jit(lambda: loss(Optimal(std), None, KEY, data))()
    lam = np.linspace(schedule.lam_min, schedule.lam_max, 20001)
    eps_error = alpha(lam) ** 2 * std**2 / (alpha(lam) ** 2 * std**2 + sigma(lam) ** 2)
    exact = np.trapezoid(eps_error / (1 + np.exp(2 * lam - bias)), lam)
    np.testing.assert_allclose(value, exact, rtol=0.03)  # the chi-square noise of 2048 x 16 pixels


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_strata_are_hit_once_and_the_density_is_that_of_the_draws(schedule):
    total = 2048
    lam, inverse_density = jax.vmap(lambda i: Stratified(schedule)(KEY, i, total))(jnp.arange(total))
    assert float(lam.min()) >= schedule.lam_min - 1e-5
    assert float(lam.max()) <= schedule.lam_max + 1e-5
    ends = [schedule.to_time(schedule.lam_max), schedule.to_time(schedule.lam_min)]
    u = (schedule.to_time(np.asarray(lam, np.float64)) - ends[0]) / (ends[1] - ends[0])
    inside = np.sort(u)[8:-8]  # times at the flat ends are lost to float32
    np.testing.assert_allclose(np.diff(inside), 1 / total, atol=0.1 / total)
    # E[f(lam) / density] is the integral of f, here over a bump that every schedule covers.
    integral = float(jnp.mean(inverse_density / jnp.cosh(lam - 0.5) ** 2))
    exact = np.tanh(schedule.lam_max - 0.5) - np.tanh(schedule.lam_min - 0.5)
    np.testing.assert_allclose(integral, exact, rtol=5e-3)


def test_shares_of_a_batch_add_up_to_the_whole():
    batch = images(batch=8)
    loss = DenoisingLoss(lam_sampler=Stratified(Cosine()))
    guess = jnp.zeros_like(batch["image"])
    whole = loss(Guess("v"), guess, KEY, batch)
    halves = [
        loss(Guess("v"), guess[i : i + 4], KEY, {"image": batch["image"][i : i + 4]}, first=i, total=8) for i in (0, 4)
    ]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), mean, whole)


class Seen:
    """Keeps the condition it was called with."""

    def apply(self, params, x, lam, cond, train=False, rngs=None):
        self.cond = cond
        return x


@pytest.mark.parametrize(("drop", "train", "share"), [(1.0, True, 0.0), (0.0, True, 1.0), (1.0, False, 1.0)])
def test_condition_is_dropped_in_training_only(drop, train, share):
    batch = {**images(), "cond": condition(label=np.arange(8), vector=np.ones((8, 3)))}
    network = Seen()
    loss = DenoisingLoss(lam_sampler=spread(-1, 1), drop_condition=drop)
    loss(network, None, KEY, batch, train=train)
    assert float(jnp.mean(network.cond["label"] >= 0)) == share
    assert float(jnp.mean(network.cond["vector"])) == share


def test_conditions_of_an_example_are_dropped_together_and_at_the_given_rate():
    num = 4000
    batch = {**images(batch=num), "cond": condition(label=np.zeros(num, int), vector=np.ones((num, 3)))}
    network = Seen()
    DenoisingLoss(lam_sampler=spread(-1, 1), drop_condition=0.25)(network, None, KEY, batch)
    kept = np.asarray(network.cond["label"]) >= 0
    np.testing.assert_array_equal(network.cond["vector"][:, -1], kept)
    assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / num)


def test_a_network_is_told_the_orientation_even_of_examples_without_condition():
    done = np.eye(8, 3, dtype=np.float32)
    batch = {**images(), "cond": condition(label=np.arange(8), augmentation=done)}
    network = Seen()
    DenoisingLoss(lam_sampler=spread(-1, 1), drop_condition=1.0)(network, None, KEY, batch)
    np.testing.assert_array_equal(network.cond["label"], -1)
    np.testing.assert_array_equal(network.cond["augmentation"], done)


def test_binned_errors_are_the_means_of_their_intervals():
    edges = np.array([-6.0, *BINS, 6.0])
    centres = (edges[1:] + edges[:-1]) / 2
    sampler = lambda key, i, total: (jnp.asarray(centres, jnp.float32)[i % len(centres)], jnp.float32(1))  # noqa: E731
    batch = images(batch=24)
    _, metrics = DenoisingLoss(lam_sampler=sampler, predicts="x0")(Guess("x0"), 0 * batch["image"], KEY, batch)
    power = np.mean(np.square(batch["image"]), axis=(1, 2, 3)).reshape(2, -1).mean(0)
    np.testing.assert_allclose(list(binned(metrics).values()), power / sigma(centres) ** 2, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"predicts": "noise"}, {"drop_condition": 1.5}])
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        DenoisingLoss(lam_sampler=spread(-1, 1), **wrong)
