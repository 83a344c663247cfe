"""Adaptive runs: each image at its own pace to the exact flow, and what it costs."""

import diffrax
import jax
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.conformance.problems import PROBLEMS

LOW, HIGH = -2.0, 2.0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", PROBLEMS)
def test_reaches_the_exact_flow(name):
    problem = PROBLEMS[name]
    x = np.random.default_rng(1).normal(size=(3, *problem.shape))
    out = jd.sample(
        jax.random.key(0),
        problem.denoise,
        shape=problem.shape,
        num=len(x),
        solver=diffrax.Tsit5(),
        controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
        grid=np.array([LOW, HIGH]),
        start=x,
        final="state",
    )
    np.testing.assert_allclose(out.images, problem.flow(x, LOW, np.array([HIGH]))[0], atol=1e-8)


def test_calls_and_result_of_an_image_do_not_depend_on_its_mates():
    """A slow mate costs the batch time (`batch_nfe`), and changes neither this image nor its count."""
    problem = PROBLEMS["mixture"]
    x = np.random.default_rng(1).normal(size=(4, *problem.shape)).astype(np.float32)
    far = x.copy()
    far[1:] *= 4.0

    def run(start):
        return jd.sample(
            jax.random.key(0),
            problem.denoise,
            shape=problem.shape,
            num=len(start),
            batch=4,
            solver=diffrax.Tsit5(),
            controller=diffrax.PIDController(rtol=1e-4, atol=1e-4),
            grid=np.array([LOW, 6.0]),
            start=start,
        )

    one, other = run(x), run(far)
    assert one.nfe[0] == other.nfe[0]
    assert not np.array_equal(one.nfe[1:], other.nfe[1:])
    np.testing.assert_array_equal(one.images[0], other.images[0])
    assert other.batch_nfe[0] == other.nfe.max()
