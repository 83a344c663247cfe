"""Flax NNX modules: bound, sampled from and trained as Linen's are, and left as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxdiff as jd
from jaxdiff.training.lam_sampler import Stratified

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype(np.float32)
traced = []


class MLP(nnx.Module):
    """Pixels by themselves, with dropout and layers in a list."""

    def __init__(self, width, rngs, norm=False):
        self.layers = nnx.List([nnx.Linear(size, out, rngs=rngs) for size, out in ((2, width), (width, 1))])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs) if norm else None

    def __call__(self, x, t):
        traced.append(1)
        lam = jnp.broadcast_to(t[:, None, None, None], x[..., :1].shape)
        hidden = self.dropout(nnx.silu(self.layers[0](jnp.concatenate([x, lam], -1))))
        return self.layers[1](hidden if self.norm is None else self.norm(hidden))


def by_hand(module, x, lam):
    """The module without dropout, in NumPy."""
    first, second = (tuple(np.asarray(a[...], np.float64) for a in (one.kernel, one.bias)) for one in module.layers)
    hidden = np.concatenate([x, np.full(x.shape, lam)], -1) @ first[0] + first[1]
    return (hidden / (1 + np.exp(-hidden))) @ second[0] + second[1]


def sampled(denoise):
    options = dict(shape=(4, 4, 1), num=2, solver=jd.DDIM(), grid=np.linspace(-2.0, 2.0, 3))
    return np.asarray(jd.sample(KEY, denoise, **options).images)


def test_bound_in_evaluation_mode_and_left_as_it_is():
    module = MLP(8, nnx.Rngs(0))
    x0 = jd.bind(module, predicts="x0")(X[0], 0.3)
    np.testing.assert_allclose(x0, by_hand(module, X[0], 0.3), rtol=1e-4, atol=1e-5)
    assert not module.dropout.deterministic


def test_new_parameters_are_no_new_program():
    modules = [MLP(8, nnx.Rngs(seed)) for seed in (0, 1)]
    images = [sampled(jd.bind(modules[0], predicts="x0"))]
    before = len(traced)
    images += [sampled(jd.bind(modules[1], predicts="x0"))]
    images += [sampled(jd.bind(modules[0], nnx.state(modules[1], nnx.Param), predicts="x0"))]
    assert len(traced) == before
    np.testing.assert_array_equal(images[1], images[2])
    assert np.abs(images[0] - images[1]).max() > 1e-3
    with pytest.raises(ValueError, match=r"got an nnx.State whose parameters are not those of the module.*to fix"):
        jd.bind(modules[0], nnx.state(MLP(4, nnx.Rngs(0)), nnx.Param))


def test_trained_by_the_step_and_a_module_again():
    module, optimizer = MLP(8, nnx.Rngs(0)), optax.adam(3e-2)
    network = jd.from_nnx(module)
    state = jd.TrainState.create(KEY, network, optimizer, {"image": X})
    np.testing.assert_array_equal(state.params["params"]["layers"][0]["kernel"], module.layers[0].kernel[...])
    step = jd.make_train_step(jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine())), optimizer)
    losses = []
    for _ in range(40):
        state, metrics = step(state, {"image": X}, KEY)
        losses.append(float(metrics["loss"]))
    assert metrics["skipped"] == 0
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert len(set(losses)) == len(losses)
    again = network.module(state.ema)
    x0 = jd.bind(network, state.ema, "x0")(X[0], 0.3)
    np.testing.assert_allclose(x0, by_hand(again, X[0], 0.3), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(sampled(jd.bind(again)), sampled(jd.bind(network, state.ema)))


def test_dropout_draws_anew_in_training():
    network = jd.from_nnx(MLP(8, nnx.Rngs(0)))
    lam = jnp.zeros(4)
    apply = jax.jit(lambda key: network.apply(network.variables, X, lam, train=True, rngs={"dropout": key}))
    outputs = [apply(jax.random.key(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_statistics_of_batches_are_read_and_not_trained():
    module = MLP(8, nnx.Rngs(0), norm=True)
    assert jd.bind(module, predicts="x0")(X[0], 0.3).shape == X[0].shape
    with pytest.raises(ValueError, match=r"got NNXNetwork with the collection BatchStat; expected parameters only"):
        jd.TrainState.create(KEY, jd.from_nnx(module), optax.sgd(0.1), {"image": X})


def test_what_cannot_be_called_is_refused():
    class Odd(nnx.Module):
        def __call__(self, x, t, y, mask):
            return x

    with pytest.raises(ValueError, match=r"got Odd, called as \(x, t, y, mask\).*to fix: give mask a default"):
        jd.bind(Odd())
    with pytest.raises(ValueError, match=r"got a condition \(label\) for MLP"):
        jd.bind(MLP(8, nnx.Rngs(0)))(X[0], 0.3, {"label": np.array(1)})
    with pytest.raises(ValueError, match=r"got no parameters for a UNet.*to fix: bind"):
        jd.bind(jd.UNet())


def test_in_a_config_it_is_refused_with_the_way_to_train_it():
    for network in (MLP(4, nnx.Rngs(0)), jd.from_nnx(MLP(4, nnx.Rngs(0)))):
        with pytest.raises(ValueError, match=r"of Flax NNX; expected a Linen module.*jd\.from_nnx\(module\)"):
            jd.TrainConfig(name="run", steps=1, network=network)
