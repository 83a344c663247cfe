"""The convolution of the networks is Flax's, and its gradients are, in loops and out of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.conv import Conv


@pytest.mark.parametrize("rank", [2, 3])
def test_values_and_all_derivatives_are_those_of_flax(rank, x64):
    x = jax.random.normal(jax.random.key(0), (*(5, 4, 3)[:rank], 3))
    ours, theirs = Conv(4, (3,) * rank, dtype=jnp.float64), nn.Conv(4, (3,) * rank)
    params = theirs.init(jax.random.key(1), x)
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), rtol=1e-12)
    direction = jax.tree.map(jnp.ones_like, (params, x))
    for fun in (jax.grad, lambda f, argnums: lambda *a: jax.jvp(f, a, direction)):
        got, want = (
            fun(lambda p, x, conv=conv: jnp.sum(jnp.sin(conv.apply(p, x))), argnums=(0, 1))(params, x)
            for conv in (ours, theirs)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), got, want)


def test_the_gradient_by_the_input_has_the_layout_of_the_fast_kernel():
    """CPU: kernels are (*window, in, out), "01io"; "01oi" is the slow one. The control is Flax's own in the same loop."""
    x = jnp.ones((8, 8, 3))

    def text(conv):
        params = conv.init(jax.random.key(1), x)
        step = lambda x, _: (jax.vjp(lambda x: conv.apply(params, x), x)[1](x)[0], None)  # noqa: E731
        return jax.jit(lambda x: jax.lax.scan(step, x, length=3)[0]).lower(x).compile().as_text()

    if jax.default_backend() != "cpu":
        pytest.skip("the layouts of XLA on CPU")
    assert "_01oi->" not in text(Conv(3, (3, 3), use_bias=False))
    assert "_01oi->" in text(nn.Conv(3, (3, 3), use_bias=False))


@pytest.mark.parametrize("window", [(3, 3), ()])
def test_parts_are_convolved_as_the_image_that_they_make_together(window, x64):
    x = jax.random.normal(jax.random.key(0), (5, 4, 7))
    conv = Conv(4, window, dtype=jnp.float64)
    params = conv.init(jax.random.key(1), x)
    np.testing.assert_allclose(conv.apply(params, x[..., :3], x[..., 3:]), conv.apply(params, x), rtol=1e-12)


def test_without_a_window_it_is_flax_dense():
    x = jax.random.normal(jax.random.key(0), (5, 4, 7))
    params = nn.Dense(4).init(jax.random.key(1), x)
    ours = Conv(4, ()).init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, ours, params)
    np.testing.assert_allclose(Conv(4, ()).apply(params, x), nn.Dense(4).apply(params, x), atol=1e-6)
