"""A small network and parameters away from their initial zeros, shared by the tests of nn."""

import functools

import jax
import pytest
from random_variables import random_variables

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
    """Compiled `network.apply`; equal networks share their programs over all tests."""
    compiled = functools.cache(lambda network: quick_jit(network.apply))

    def apply(network, variables, x, lam, cond=None):
        return compiled(network)(variables, x, lam, cond)

    return apply


@pytest.fixture(scope="session")
def perturbed():
    """`random_variables.random_variables`."""
    return random_variables
