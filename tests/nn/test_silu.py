"""SiLU against JAX's, with derivatives of both orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxdiff.nn.silu import silu

X = jnp.linspace(-60.0, 60.0, 241)


@pytest.mark.parametrize(
    "of", [lambda f: f, lambda f: jax.vmap(jax.grad(f)), lambda f: jax.vmap(jax.grad(jax.grad(f)))]
)
def test_silu_and_its_derivatives_are_jax_ones(of):
    np.testing.assert_allclose(of(silu)(X), of(jax.nn.silu)(X), rtol=2e-5, atol=2e-6)


def test_derivatives_are_differences():
    check_grads(silu, (jnp.linspace(-3.0, 3.0, 7),), order=2, modes=("fwd", "rev"), atol=1e-2, rtol=1e-2)


def test_keeps_the_dtype():
    assert silu(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16
