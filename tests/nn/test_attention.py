import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.attention import SelfAttention
from jaxdiff.nn.norm import group_norm


def plain(params, x, heads, size):
    """Softmax attention written out a head at a time, in float64."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    h = group_norm([x], p["norm"]["scale"], p["norm"]["shift"])[0]
    h = np.asarray(h, np.float64).reshape(-1, x.shape[-1])
    qkv = (h @ p["qkv"]["kernel"]).reshape(len(h), 3, heads, size)
    outs = []
    for head in range(heads):
        q, k, v = (qkv[:, part, head] for part in range(3))
        logits = q @ k.T / np.sqrt(size)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        outs.append(weights / weights.sum(-1, keepdims=True) @ v)
    out = np.concatenate(outs, -1) @ p["out"]["kernel"] + p["out"]["bias"]
    return np.asarray(x, np.float64) + out.reshape(x.shape)


@pytest.mark.parametrize(("shape", "size", "heads"), [((4, 3, 16), 8, 2), ((2, 3, 2, 12), 8, 2), ((5, 1, 4), 8, 1)])
def test_equals_plain_softmax(shape, size, heads):
    x = jax.random.normal(jax.random.key(0), shape)
    layer = SelfAttention(head_size=size)
    params = jax.jit(layer.init)(jax.random.key(1), x)
    np.testing.assert_array_equal(layer.apply(params, x), x)  # zero at initialisation
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(2), leaf.shape), params)
    np.testing.assert_allclose(layer.apply(params, x), plain(params, x, heads, size), atol=2e-5)
    xla = SelfAttention(head_size=size, implementation="xla")
    np.testing.assert_array_equal(xla.apply(params, x), layer.apply(params, x))


def test_has_no_bias_on_queries_keys_and_values():
    params = jax.jit(SelfAttention().init)(jax.random.key(0), jnp.ones((2, 2, 64)))["params"]
    assert set(params["qkv"]) == {"kernel"}
