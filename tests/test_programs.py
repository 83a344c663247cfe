"""Of compiled programs the newest are kept, and no more."""

import gc
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff import programs
from jaxdiff.data.pairs import Segmentation
from jaxdiff.programs import Programs, kept_programs
from jaxdiff.sampling import program

sys.path.insert(0, str(Path(__file__).parent / "tasks"))
from exact_models import TRACES, Gaussian, exact


def alive(name: str) -> int:
    """Programs of this name that the device holds."""
    gc.collect()
    return sum(name in of.hlo_modules()[0].name for of in jax.devices()[0].client.live_executables())


@pytest.fixture
def three(monkeypatch):
    """Three programs may be kept."""
    monkeypatch.setattr(programs, "MOST", 3)


@pytest.mark.usefixtures("three")
def test_the_program_used_longest_ago_goes():
    traced = []

    def unlike_any_other(x, power):
        traced.append(x.shape)
        return x**power

    of = Programs(unlike_any_other, static=(1,))
    for n in (1, 2, 3, 1, 4):
        np.testing.assert_array_equal(of(np.full(n, 3.0, np.float32), 2), np.full(n, 9.0))
    assert len(of) == alive("unlike_any_other") == 3
    assert traced == [(1,), (2,), (3,), (4,)]
    of(jnp.full(1, 4.0, jnp.float32), 2), of(np.ones(4, np.float32), 2)  # new numbers, of another kind of array
    assert len(traced) == 4
    of(np.ones(2, np.float32), 2)
    assert traced[4:] == [(2,)]
    of(np.ones(2, np.float32), 3)  # another static argument
    of(np.ones(2, np.int32), 3)  # another dtype
    assert len(traced) == 7
    assert alive("unlike_any_other") == 3
    of.clear()
    assert alive("unlike_any_other") == 0


def test_in_a_program_and_under_a_gradient_it_is_a_function():
    @kept_programs
    def scaled(power, x):
        return x**power

    assert jax.jit(lambda x: scaled(3, x))(2.0) == 8
    assert jax.grad(lambda x: scaled(3, x))(2.0) == 12
    np.testing.assert_array_equal(jax.vmap(lambda x: scaled(2, x))(jnp.arange(3.0)), [0, 1, 4])


@pytest.mark.usefixtures("three")
def test_images_of_many_sizes_in_one_process():
    """Segmentations of four sizes, and again: three programs, and those that are there are traced no more."""
    model = exact(Gaussian(), Segmentation(), window=(8, 8), units=(0.0, 1.0), input_units=(1000.0, 100.0))
    kept = program._programs
    kept.clear()

    def segmented(size):
        before = len(TRACES)
        image = np.random.default_rng(0).normal(1000, 100, (size, 8, 1))
        labels = jd.tasks.segment(jax.random.key(0), model, image, samples=2, calls=1).labels
        return labels, len(TRACES) - before

    first = {size: segmented(size) for size in (8, 9, 10, 11)}
    assert all(traces > 0 for _, traces in first.values())
    assert len(kept) == alive("_sampler") == 3
    assert segmented(11)[1] == segmented(10)[1] == 0
    labels, traces = segmented(8)
    assert traces > 0
    np.testing.assert_array_equal(labels, first[8][0])
    assert len(kept) == alive("_sampler") == 3
