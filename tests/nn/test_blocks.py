import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn.blocks import Down, depth_to_space, pad_to_multiple, space_to_depth
from jaxdiff.nn.lanes import nearest


@pytest.mark.parametrize(("shape", "size"), [((4, 6, 3), 2), ((8, 4, 12, 1), 4), ((3, 5, 2), 1)])
def test_space_to_depth_and_back(shape, size):
    x = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
    y = space_to_depth(x, size)
    assert y.shape == (*(s // size for s in shape[:-1]), shape[-1] * size ** (len(shape) - 1))
    np.testing.assert_array_equal(depth_to_space(y, size), x)
    np.testing.assert_array_equal(y[0, 0].ravel()[: shape[-1]], x[0, 0].ravel()[: shape[-1]])


def test_space_to_depth_gathers_each_block():
    x = jnp.arange(16.0).reshape(4, 4, 1)
    np.testing.assert_array_equal(space_to_depth(x, 2)[1, 0], [8.0, 9.0, 12.0, 13.0])


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiples of 2"):
        space_to_depth(jnp.ones((3, 4, 1)), 2)
    with pytest.raises(ValueError, match="multiple of 4"):
        depth_to_space(jnp.ones((3, 4, 6)), 2)


@pytest.mark.parametrize("shape", [(6, 4, 3), (4, 2, 6, 2)])
def test_down_is_a_strided_convolution(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    down = Down(5)
    params = jax.jit(down.init)(jax.random.key(1), x)
    rank = len(shape) - 1
    dense = params["params"]["dense"]
    kernel = dense["kernel"].reshape(*(2,) * rank, shape[-1], 5)
    conv = flax_nn.Conv(5, (2,) * rank, strides=2, padding="VALID")
    expected = conv.apply({"params": {"kernel": kernel, "bias": dense["bias"]}}, x)
    np.testing.assert_allclose(down.apply(params, x), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 2, 4)])
def test_nearest_repeats_each_pixel(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    expected = x
    for axis in range(len(shape) - 1):
        expected = np.repeat(expected, 2, axis)
    np.testing.assert_array_equal(nearest(x), expected)


@pytest.mark.parametrize("size", range(1, 18))
def test_padding_mirrors_and_crops_back(size):
    x = jnp.arange(float(size))[:, None, None] * jnp.ones((1, 8, 3))
    padded, crop = pad_to_multiple(x, 8)
    assert padded.shape[0] % 8 == 0
    assert padded.shape[0] - size < 8
    assert padded.shape[1] == 8
    np.testing.assert_array_equal(padded[crop], x)
    assert float(padded.max()) <= size - 1  # nothing but the image's own values
    if size > 1:
        steps = np.abs(np.diff(padded[:, 0, 0]))
        np.testing.assert_array_equal(steps, 1.0)  # mirrored without repeating the edge
