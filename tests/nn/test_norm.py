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
    np.testing.assert_allclose(ours.apply({"params": params}, x), expected, atol=2e-6)


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_groups_and_epsilon_may_be_given(groups):
    x = 0.1 * jax.random.normal(jax.random.key(0), (2, 5, 4, 12))
    ones, zeros = jnp.ones((1, 12)), jnp.zeros((1, 12))
    reference = flax_nn.GroupNorm(num_groups=groups, epsilon=0.1, use_fast_variance=False)
    expected = reference.apply({"params": {"scale": ones[0], "bias": zeros[0]}}, x)
    np.testing.assert_allclose(group_norm(x, ones, zeros, 0.1, groups), expected, atol=2e-6)


def test_large_mean_keeps_its_digits_and_finite_gradients():
    noise = np.random.default_rng(0).normal(size=(2, 16, 16, 8))
    x = jnp.asarray(1e4 + noise, jnp.float32)  # E[x²] − E[x]² has an absolute error of about 8 here
    exact = np.asarray(x, np.float64).reshape(2, 256, 2, 4)
    exact = (exact - exact.mean((1, 3), keepdims=True)) / exact.std((1, 3), keepdims=True)
    ones, zeros = jnp.ones((1, 8)), jnp.zeros((1, 8))
    np.testing.assert_allclose(group_norm(x, ones, zeros), exact.reshape(x.shape), atol=2e-3)
    gradient = jax.grad(lambda x: jnp.sum(group_norm(x, ones, zeros) ** 3))(x)
    assert np.isfinite(gradient).all()


def test_constant_image_gives_the_shift_and_finite_gradients():
    x = jnp.full((1, 4, 4, 4), 7.0)
    shift = jnp.arange(4.0)[None]
    np.testing.assert_array_equal(group_norm(x, jnp.ones((1, 4)), shift), jnp.broadcast_to(shift, x.shape))
    gradient = jax.grad(lambda x: jnp.sum(group_norm(x, jnp.ones((1, 4)), shift) ** 2))(x)
    assert np.isfinite(gradient).all()


def test_bfloat16_input_has_float32_statistics():
    x = (100 + jax.random.normal(jax.random.key(0), (1, 64, 64, 4))).astype(jnp.bfloat16)
    y = group_norm(x, jnp.ones((1, 4)), jnp.zeros((1, 4)))
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean()) / exact.std()
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-3)


def test_scale_and_shift_may_differ_between_examples():
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 8))
    scale, shift = jax.random.normal(jax.random.key(1), (2, 3, 8))
    single = [group_norm(x[i : i + 1], scale[i : i + 1], shift[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(group_norm(x, scale, shift), jnp.concatenate(single), atol=1e-6)
