"""A plain function is a loss."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

IMAGES = np.random.default_rng(0).standard_normal((8, 4, 4, 1), np.float32)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(1)(x)


def l1(network, params, key, batch, *, train=True, first=0, total=None):
    x0 = batch["image"]
    lam = jax.random.uniform(jax.random.fold_in(key, first), x0.shape[:1], minval=-5.0, maxval=5.0)
    eps = jax.random.normal(jax.random.fold_in(key, first + 1), x0.shape)
    a, s = (f(lam).reshape(-1, *[1] * (x0.ndim - 1)) for f in (alpha, sigma))
    value = jnp.mean(jnp.abs(network.apply(params, a * x0 + s * eps, lam, batch.get("cond"), train=train) - eps))
    return value, {"loss": value}


def curve(loss):
    optimizer = optax.adam(3e-2)
    state = TrainState.create(jax.random.key(0), Linear(), optimizer, {"image": IMAGES})
    step, losses = make_train_step(loss, optimizer), []
    for _ in range(60):
        state, metrics = step(state, {"image": IMAGES}, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    return losses


def test_own_loss_trains():
    losses = curve(l1)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
