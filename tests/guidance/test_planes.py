"""A model of planes on volumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.analytic import Gaussian
from jaxdiff.guidance import Planes, windowed


def pixelwise(window=None):
    return lambda x, lam, cond: jnp.tanh(x) + 0.1 * lam


def test_planes_of_a_pixelwise_denoiser_change_nothing():
    x = jax.random.normal(jax.random.key(0), (4, 6, 5, 2))
    np.testing.assert_allclose(Planes(pixelwise())(x, 0.3), jnp.tanh(x) + 0.03, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_across_one_axis_are_those_planes(axis):
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype(np.float32)
    prior = Gaussian(np.random.default_rng(1).normal(size=(4, 4, 1)), np.diag(np.arange(1.0, 17)))
    got = np.moveaxis(np.asarray(Planes(prior, (axis,))(jnp.asarray(x), 0.3)), axis, 0)
    for k, plane in enumerate(np.moveaxis(x, axis, 0)):
        np.testing.assert_allclose(got[k], prior(jnp.asarray(plane), 0.3), rtol=1e-5, atol=1e-6)


def test_windows_go_around_planes():
    x = jax.random.normal(jax.random.key(1), (6, 9, 7, 1))
    got = windowed(Planes(pixelwise()), (4, 4, 4), 2, chunk=3)(x, 0.3)
    np.testing.assert_allclose(got, jnp.tanh(x) + 0.03, rtol=1e-5)


def test_what_is_no_volume_is_refused():
    with pytest.raises(ValueError, match="across"):
        Planes(pixelwise(), (0, 3))
    with pytest.raises(ValueError, match="a volume"):
        Planes(pixelwise())(jnp.ones((4, 4, 1)), 0.3)
