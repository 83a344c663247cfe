"""Networks from outside the package: what `bind`, the loss and the state ask of one, and what they say of what is none."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff as jd
from jaxdiff.network import applied, check_network, initialised
from jaxdiff.training.lam_sampler import Stratified

KEY = jax.random.key(0)
X, LAM, COND = jnp.zeros((2, 4, 4, 1)), jnp.zeros(2), {"label": jnp.zeros(2, jnp.int32)}


class DiT(nn.Module):
    """A transformer of patches with adaptive norms (Peebles and Xie 2023, arXiv 2212.09748): no condition, no `train`."""

    patch: int = 2
    width: int = 8

    @nn.compact
    def __call__(self, x, t):
        batch, height, width, channels = x.shape
        p = self.patch
        tokens = nn.Conv(self.width, (p, p), strides=(p, p))(x).reshape(batch, -1, self.width)
        tokens += self.param("position", nn.initializers.normal(0.02), tokens.shape[1:])
        embedding = nn.silu(nn.Dense(self.width)(jnp.stack([jnp.sin(t), jnp.cos(t)], -1)))
        shift, scale, gate = jnp.split(nn.Dense(3 * self.width)(embedding)[:, None], 3, -1)
        normed = nn.LayerNorm(use_bias=False, use_scale=False)(tokens) * (1 + scale) + shift
        tokens += gate * nn.MultiHeadDotProductAttention(2)(normed, normed)
        out = nn.Dense(p * p * channels)(nn.LayerNorm()(tokens)).reshape(batch, height // p, width // p, p, p, channels)
        return out.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)


@pytest.fixture(scope="module")
def trained():
    """(state, step, batch) of a DiT after three steps."""
    batch = {"image": np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)}
    optimizer = optax.sgd(0.1)
    state = jd.TrainState.create(KEY, DiT(), optimizer, batch)
    step = jd.make_train_step(jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine())), optimizer)
    first = jax.tree.map(np.asarray, state.params)
    for _ in range(3):
        state, metrics = step(state, batch, KEY)
    assert np.isfinite(metrics["loss"])
    assert metrics["skipped"] == 0
    assert np.abs(first["params"]["position"] - state.params["params"]["position"]).max() > 0
    return state


def test_dit_is_trained_bound_and_sampled(trained):
    denoise = jd.bind(DiT(), trained.ema)
    options = dict(shape=(8, 8, 1), num=2, solver=jd.DPMpp(2), grid=jd.grids.uniform_lam(jd.Cosine(), 3))
    out = jd.sample(KEY, denoise, **options)
    assert out.finite.all()
    with pytest.raises(ValueError, match=r"got a condition \(label\) for DiT, whose signature has no place"):
        jd.sample(KEY, denoise, **options, cond=COND)


class Takes:
    """A network that notes what it was called with."""

    def __init__(self, call):
        self.apply = call
        self.init = call


SEEN = []


def note(**what):
    SEEN.append(what)
    return "output"


SIGNATURES = {
    "x and lam": (lambda v, x, t: note(), {}),
    "cond": (lambda v, x, t, y: note(cond=y), {"cond": COND}),
    "cond by place": (lambda v, x, t, y, /: note(cond=y), {"cond": COND}),
    "cond by name": (lambda v, x, t, *, cond: note(cond=cond), {"cond": COND}),
    "train": (lambda v, x, t, train: note(train=train), {"train": True}),
    "train before cond": (lambda v, x, t, train, c: note(train=train, cond=c), {"train": True, "cond": COND}),
    "training": (lambda v, x, t, *, training: note(train=training), {"train": True}),
    "deterministic": (lambda v, x, t, c, deterministic: note(train=not deterministic), {"train": True}),
    "a flag of its own": (lambda v, x, t, fast=False: note(fast=fast), {"fast": False}),
    "a tensor more": (lambda v, x, t, c=None, mask=None: note(cond=c, mask=mask), {"cond": COND, "mask": None}),
    "anything": (lambda v, *a, **o: note(cond=a[2], train=o["train"]), {"cond": COND, "train": True}),
    "any name": (lambda v, x, t, **o: note(**{n: o[n] for n in ("cond", "train")}), {"cond": COND, "train": True}),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_network_gets_what_its_signature_takes(name):
    call, expected = SIGNATURES[name]
    cond = COND if "cond" in expected or "c" in call.__code__.co_varnames else None
    for train in (True, False):
        SEEN.clear()
        assert applied(Takes(call), {}, X, LAM, cond, train=train, rngs={"dropout": KEY}) == "output"
        assert [{**expected, "train": train} if "train" in expected else expected] == SEEN
        assert applied(Takes(call), {}, X, LAM, cond and None, train=train) == "output"
    assert initialised(Takes(call), KEY, X, LAM, cond) == "output"
    assert SEEN[-1].get("train", False) is False


def test_rngs_go_to_those_that_take_them():
    assert applied(Takes(lambda v, x, t, rngs=None: rngs), {}, X, LAM, None, rngs={"dropout": KEY}) == {"dropout": KEY}
    assert applied(Takes(lambda v, x, t, rngs=None: rngs), {}, X, LAM, None) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda v, x: x,
            r"got Takes, called as \(x\); expected \(x, lam, cond=None, train=False\).*to fix: take x and",
        ),
        (lambda v, x, t, c, mask: x, r"called as \(x, t, c, mask\).*to fix: give mask a default"),
        (lambda v, x, t, *, text: x, "to fix: give text a default"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_runs(call, message):
    with pytest.raises(ValueError, match=message):
        check_network(Takes(call))
    with pytest.raises(ValueError, match=message):
        jd.bind(Takes(call), {})


class Watched(nn.Module):
    """Trains unless it is told not to, and draws from a stream of its own."""

    @nn.compact
    def __call__(self, x, t, y=None, train: bool = True):
        if train:
            x = x + jax.random.normal(self.make_rng("augmentation"), x.shape)
        return nn.Dense(1)(x)


def test_sampling_says_that_it_is_no_training_and_training_has_random_numbers():
    params = initialised(Watched(), KEY, X, LAM, None)
    assert jd.bind(Watched(), params, "x0")(X[0], 0.0).shape == X[0].shape  # would ask for random numbers
    loss = jax.jit(lambda key: applied(Watched(), params, X, LAM, None, train=True, rngs={"params": key}).sum())
    values = [loss(jax.random.key(seed)) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    loss = jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine()))
    jax.eval_shape(lambda key: loss(Watched(), params, key, {"image": X}), KEY)  # the loss gives them, too


class Normalised(nn.Module):
    constant: bool = False

    @nn.compact
    def __call__(self, x, t, train: bool = False):
        x = nn.Dense(1)(x)
        if self.constant:
            return x + self.variable("tables", "position", lambda: jnp.ones(1)).value
        return nn.BatchNorm(use_running_average=not train)(x)


@pytest.mark.parametrize(("network", "name"), [(Normalised(), "batch_stats"), (Normalised(constant=True), "tables")])
def test_training_of_other_variables_than_parameters_is_refused_with_the_reason(network, name):
    message = rf"got Normalised with the collection {name}; expected parameters only.*to fix: nn.GroupNorm"
    with pytest.raises(ValueError, match=message):
        jd.TrainState.create(KEY, network, optax.sgd(0.1), {"image": X})


def test_statistics_that_stand_still_are_sampled_from_and_those_that_move_refused():
    variables = Normalised().init(KEY, X, LAM)
    assert jd.bind(Normalised(), variables, "x0")(X[0], 0.0).shape == X[0].shape

    class Moving(nn.Module):
        @nn.compact
        def __call__(self, x, t):
            return nn.BatchNorm(use_running_average=False)(x)

    variables = Moving().init(KEY, X, LAM)
    with pytest.raises(ValueError, match=r"got Moving, which changes variables while it runs.*to fix: nn.GroupNorm"):
        jd.bind(Moving(), variables, "x0")(X[0], 0.0)


def test_labels_reach_a_third_argument_of_any_name():
    class ByClass(nn.Module):
        @nn.compact
        def __call__(self, x, t, y):
            shift = 0.0 if y is None else y["label"].astype(x.dtype)[:, None, None, None]
            return x + shift

    denoise = jd.bind(ByClass(), {}, "x0")
    np.testing.assert_array_equal(denoise(X[0], 0.0, {"label": np.array(5)}), X[0] + 5)
    np.testing.assert_array_equal(denoise(X[0], 0.0), X[0])
