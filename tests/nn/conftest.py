"""A small network and parameters away from their initial zeros, shared by the tests of nn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn import UNet


@pytest.fixture(scope="session")
def small():
    """Build a UNet that compiles in seconds and has every kind of part."""

    def build(**fields):
        defaults = dict(width=8, multipliers=(1, 2), blocks=1, attention=(False, True), head_size=8)
        return UNet(**{**defaults, **fields})

    return build


@pytest.fixture(scope="session")
def quick_jit():
    """jax.jit that spends little on optimisation: tiny networks compile much longer than they run."""
    return functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="session")
def run(quick_jit):
    """Compiled `network.apply`."""

    def apply(network, variables, x, lam, cond=None):
        return quick_jit(network.apply)(variables, x, lam, cond)

    return apply


@pytest.fixture(scope="session")
def perturbed():
    """Random variables of a network: those of `init` give a zero output, which hides most mistakes (and compile long)."""

    def build(network, x, lam, cond=None):
        shapes = jax.eval_shape(network.init, jax.random.key(0), x, lam, cond)
        rng = np.random.default_rng(0)

        def fill(path, leaf):
            name = path[-1].key
            spread = np.prod(leaf.shape[:-1]) ** -0.5 if name == "kernel" else 0.1
            return jnp.asarray((name == "scale") + spread * rng.standard_normal(leaf.shape), leaf.dtype)

        return jax.tree_util.tree_map_with_path(fill, shapes)

    return build
