import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.rotary import angles, partners, turns
from jaxdiff.nn.transformer import Attention, TransformerBlock, hidden_size, unshifted_attention


def turned(x, turn):
    """Pairs of channels as complex numbers, turned, in float64."""
    half = x.shape[-1] // 2
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * turn)[:, None]
    return np.concatenate([z.real, z.imag], axis=-1)


def softmax_attention(q, k, v):
    logits = np.einsum("tnh,snh->nts", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("nts,snh->tnh", weights / weights.sum(-1, keepdims=True), v)


def test_attention_equals_plain_softmax_with_complex_turns():
    grid, size, width = (2, 3), 8, 16
    x = np.random.default_rng(0).normal(size=(6, width)).astype(np.float32)
    layer = Attention(size)
    positions = turns(grid, size // 2)
    params = jax.jit(layer.init)(jax.random.key(1), x, positions)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(2), leaf.shape), params)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    q, k, v = ((x @ p[name]["kernel"]).reshape(6, 2, size) for name in ("query", "key", "value"))
    normed = lambda h: h / np.sqrt(np.mean(h**2, -1, keepdims=True))  # noqa: E731
    turn = angles(grid, size // 2)
    q, k = turned(normed(q) * p["norm_q"]["scale"], turn), turned(normed(k) * p["norm_k"]["scale"], turn)
    expected = softmax_attention(q, k, v).reshape(6, width) @ p["out"]["kernel"]
    np.testing.assert_allclose(jax.jit(layer.apply)(params, x, positions), expected, atol=2e-5)


@pytest.mark.parametrize("scale", [0.1, 2.5])
def test_softmax_without_its_maximum_is_right_up_to_the_largest_logits(scale):
    """Logits of up to sqrt(size) · scale², here 56."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 10, 2, 80)).astype(np.float32)
    q, k = (scale * h / np.sqrt(np.mean(h**2, -1, keepdims=True)) for h in (q, k))
    k = k.copy()
    k[:, 0], k[:, 1] = q[:, 0], -q[:1, 1]  # heads whose rows reach both ends
    out = jax.jit(unshifted_attention)(q, k, v)
    np.testing.assert_allclose(out, softmax_attention(*(h.astype(np.float64) for h in (q, k, v))), atol=1e-5)


def test_learned_scales_cannot_make_logits_that_overflow():
    """All keys opposite to all queries: every logit is the least one, and a softmax of equals their mean."""
    x = np.tile(np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32), (6, 1))
    layer, positions = Attention(16), tuple(np.broadcast_to(n, (6, 1, 16)).astype(np.float32) for n in (1, 0))
    params = jax.jit(layer.init)(jax.random.key(1), x, positions)["params"]
    opposite = {"key": {"kernel": -params["query"]["kernel"]}}
    params = {**params, **opposite} | {f"norm_{n}": {"scale": np.full(16, 40.0)} for n in "qk"}
    out = jax.jit(layer.apply)({"params": params}, x, positions)
    expected = x @ np.asarray(params["value"]["kernel"]) @ np.asarray(params["out"]["kernel"])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("grid", "half"), [((5, 7), 8), ((2, 3, 4), 8), ((4,), 3)])
def test_products_depend_on_how_far_apart_places_are_along_each_axis(grid, half):
    turn = angles(grid, half)
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, len(grid))
    steps = {}
    for i, one in enumerate(places):
        for j, other in enumerate(places):
            apart = steps.setdefault(tuple(one - other), turn[i] - turn[j])
            np.testing.assert_allclose(turn[i] - turn[j], apart, atol=1e-12)
    each = half // len(grid)
    assert not turn[:, each * len(grid) :].any()  # pairs left over stand still
    assert len(np.unique(turn.round(9), axis=0)) == len(places)
    assert turn.max() <= max(grid) - 1


def test_partners_change_places_exactly():
    x = np.random.default_rng(0).normal(size=(3, 2, 6)).astype(np.float32)
    np.testing.assert_array_equal(partners(x), np.concatenate([x[..., 3:], x[..., :3]], -1))


def test_a_block_starts_as_the_identity(perturbed):
    x = np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)
    block, positions = TransformerBlock(8), turns((2, 3), 4)
    y, _ = jax.jit(block.init_with_output)(jax.random.key(0), x, jnp.ones(5), positions)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(("width", "hidden"), [(384, 1024), (768, 2048), (1024, 2688), (16, 128)])
def test_hidden_sizes_are_whole_lanes_near_eight_thirds(width, hidden):
    assert hidden_size(width) == hidden
