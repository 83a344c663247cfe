import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.norm import GroupNorm, group_norm, groups_of


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (7, 1), (8, 2), (12, 3), (64, 16), (96, 24), (256, 32)]
)
def test_groups_divide_the_channels_and_hold_four_or_more(channels, groups):
    assert groups_of(channels) == groups
    assert channels % groups == 0


@pytest.mark.parametrize("shape", [(2, 6, 5, 8), (3, 4, 3, 2, 12), (1, 1, 1, 7)])
def test_equals_flax(shape):
    x = 3 + 2 * jax.random.normal(jax.random.key(0), shape)
    reference = flax_nn.GroupNorm(num_groups=groups_of(shape[-1]), epsilon=1e-5, use_fast_variance=False)
    ours = GroupNorm()
    params = {"scale": jnp.linspace(0.5, 2, shape[-1]), "shift": jnp.linspace(-1, 1, shape[-1])}
    expected = reference.apply({"params": {"scale": params["scale"], "bias": params["shift"]}}, x)
    one = jax.vmap(lambda x: ours.apply({"params": params}, x)[0])
    np.testing.assert_allclose(one(x), expected, atol=2e-6)


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_groups_and_epsilon_may_be_given(groups):
    x = 0.1 * jax.random.normal(jax.random.key(0), (2, 5, 4, 12))
    ones, zeros = jnp.ones(12), jnp.zeros(12)
    reference = flax_nn.GroupNorm(num_groups=groups, epsilon=0.1, use_fast_variance=False)
    expected = reference.apply({"params": {"scale": ones, "bias": zeros}}, x)
    one = jax.vmap(lambda x: group_norm([x], ones, zeros, 0.1, groups)[0])
    np.testing.assert_allclose(one(x), expected, atol=2e-6)


def normalised(x, groups):
    """In float64, one image."""
    grouped = np.asarray(x, np.float64).reshape(-1, groups, x.shape[-1] // groups)
    grouped = (grouped - grouped.mean((0, 2), keepdims=True)) / grouped.std((0, 2), keepdims=True)
    return grouped.reshape(x.shape)


def test_large_mean_keeps_its_digits_and_finite_gradients():
    noise = np.random.default_rng(0).normal(size=(16, 16, 8))
    x = jnp.asarray(1e4 + noise, jnp.float32)  # E[x²] − E[x]² has an absolute error of about 8 here
    ones, zeros = jnp.ones(8), jnp.zeros(8)
    np.testing.assert_allclose(group_norm([x], ones, zeros)[0], normalised(x, 2), atol=2e-3)
    gradient = jax.grad(lambda x: jnp.sum(group_norm([x], ones, zeros)[0] ** 3))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("off", [10.0, 1e3, 1e6])
def test_a_shift_far_from_the_mean_costs_few_digits(off):
    """The pixel that the shift is taken of, far from all others: the worst there is."""
    x = np.random.default_rng(0).normal(size=(64, 64, 8)).astype(np.float32)
    x[0, 0] += off
    y = group_norm([jnp.asarray(x)], jnp.ones(8), jnp.zeros(8))[0]
    np.testing.assert_allclose(y, normalised(x, 2), atol=2e-3, rtol=2e-3)


def test_derivatives_are_those_of_two_passes():
    def one_pass(x, scale, shift):
        return group_norm([x], scale, shift)[0]

    def two_passes(x, scale, shift):
        grouped = x.reshape(-1, 2, 4)
        mean, variance = grouped.mean((0, 2), keepdims=True), grouped.var((0, 2), keepdims=True)
        return ((grouped - mean) / jnp.sqrt(variance + 1e-5)).reshape(x.shape) * scale + shift

    keys = jax.random.split(jax.random.key(0), 5)
    x, w, dx = (jax.random.normal(key, (6, 5, 8)) for key in keys[:3])
    scale, shift = (jax.random.normal(key, (8,)) for key in keys[3:])
    gradients = [
        jax.grad(lambda *a, f=f: jnp.sum(w * f(*a) ** 2), argnums=(0, 1, 2))(x, scale, shift)
        for f in (one_pass, two_passes)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *gradients)
    tangents = [jax.jvp(lambda x, f=f: f(x, scale, shift), (x,), (dx,))[1] for f in (one_pass, two_passes)]
    np.testing.assert_allclose(*tangents, atol=1e-5)


def test_constant_image_gives_the_shift_and_finite_gradients():
    x = jnp.full((4, 4, 4), 7.0)
    shift = jnp.arange(4.0)
    np.testing.assert_array_equal(group_norm([x], jnp.ones(4), shift)[0], jnp.broadcast_to(shift, x.shape))
    gradient = jax.grad(lambda x: jnp.sum(group_norm([x], jnp.ones(4), shift)[0] ** 2))(x)
    assert np.isfinite(gradient).all()


def test_bfloat16_input_has_float32_statistics():
    x = (100 + jax.random.normal(jax.random.key(0), (64, 64, 4))).astype(jnp.bfloat16)
    y = group_norm([x], jnp.ones(4), jnp.zeros(4))[0]
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean()) / exact.std()
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parts_are_the_image_that_they_make_together(dtype):
    """Groups reach over the border between them (10 + 6 channels, groups of 4)."""
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (6, 5, 16))
    x = x.astype(dtype)
    scale, shift = jnp.linspace(0.5, 2, 16), jnp.linspace(-1, 1, 16)
    parts = group_norm([x[..., :10], x[..., 10:]], scale, shift)
    assert [part.shape[-1] for part in parts] == [10, 6]
    np.testing.assert_array_equal(jnp.concatenate(parts, axis=-1), group_norm([x], scale, shift)[0])


def test_sixteen_bits_of_a_large_mean_are_not_blown_up():
    """Values that differ by their rounding alone have no variance to speak of."""
    x = jnp.asarray(1e4 + 20 * np.random.default_rng(0).normal(size=(512, 512, 4)), jnp.bfloat16)
    y = group_norm([x], jnp.ones(4), jnp.zeros(4), dtype=jnp.float32)[0]
    assert y.dtype == jnp.float32
    assert 0 < float(jnp.abs(y).max()) < 8
    constant = group_norm([jnp.full((64, 64, 4), 1e4, jnp.bfloat16)], jnp.ones(4), jnp.zeros(4))[0]
    np.testing.assert_allclose(constant.astype(jnp.float32), 0.0, atol=1e-3)
