"""The forms of a TPU are the functions that the plain forms are; a program for a TPU holds them, and others do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.nn import lanes


@pytest.mark.parametrize("space", [(5, 8), (3, 2, 12)])
@pytest.mark.parametrize(("i", "o"), [(1, 64), (64, 64), (32, 7), (40, 3), (17, 20)])
@pytest.mark.parametrize("window", [3, None])
def test_a_convolution_of_folded_pixels_is_that_of_pixels(space, i, o, window, x64):
    fold = lanes.folded(space[-1], max(i, o))
    assert fold == {64: 2, 32: 4, 40: {8: 2, 12: 3}.get(space[-1]), 20: {8: 4, 12: 6}.get(space[-1])}[max(i, o)]
    x = jax.random.normal(jax.random.key(0), (*space, i))
    kernel = jax.random.normal(jax.random.key(1), ((window,) * len(space) if window else ()) + (i, o))
    want = lanes._plain(x, kernel)
    np.testing.assert_allclose(lanes._same_folded(x, kernel, fold=fold, swapped=False), want, rtol=1e-10, atol=1e-10)
    swapped = lanes._same_folded(x, kernel.swapaxes(-1, -2), fold=fold, swapped=True)
    np.testing.assert_allclose(swapped, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("space", [(6, 8), (2, 4, 6)])
@pytest.mark.parametrize(("i", "o"), [(64, 16), (5, 128), (128, 64)])
def test_other_resolutions_are_the_same_in_both_forms(space, i, o, x64):
    x = jax.random.normal(jax.random.key(0), (*space, i))
    strided = jax.random.normal(jax.random.key(1), (*(2,) * len(space), i, o))
    np.testing.assert_allclose(lanes._halved_folded(x, strided), lanes._halved(x, strided), rtol=1e-10, atol=1e-9)
    kernel, bias = jax.random.normal(jax.random.key(2), (i, o)), jax.random.normal(jax.random.key(3), (o,))
    want = lanes._doubled(x, kernel, bias)
    np.testing.assert_allclose(lanes._doubled_at_once(x, kernel, bias), want, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(("width", "channels", "fold"), [(64, 64, 2), (6, 32, 3), (7, 32, 1), (64, 96, 1), (9, 1, 9)])
def test_as_many_neighbours_as_fill_the_lanes_and_divide_the_axis(width, channels, fold):
    assert lanes.folded(width, channels) == fold


@pytest.mark.parametrize("direction", ["forwards", "gradient"])
def test_the_form_follows_the_platform(direction):
    network = jd.UNet(width=32, multipliers=(1, 2), blocks=1, attention=(False, False))
    x, lam = jnp.zeros((2, 16, 16, 1)), jnp.zeros(2)
    params = jax.eval_shape(network.init, jax.random.key(0), x, lam)

    def loss(params, x, lam):
        return jnp.sum(jnp.square(jnp.asarray(network.apply(params, x, lam))))

    traced = jax.jit(loss if direction == "forwards" else jax.grad(loss, argnums=(0, 1))).trace(params, x, lam)
    for platform, folds in (("tpu", True), ("cpu", False), ("cuda", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        assert any("tensor<3x3x128x128xf32>" in line for line in convolutions) == folds
        assert any("tensor<3x3x32x32xf32>" in line for line in convolutions) != folds
