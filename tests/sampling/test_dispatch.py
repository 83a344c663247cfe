"""The next batch is handed to the device while it computes: no gap between the batches of a run."""

import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd


def slow(x, lam, cond=None):
    """A denoiser of some tens of milliseconds."""
    matrix = jnp.full((400, 400), 1e-3) + x[0, 0]
    return jax.lax.fori_loop(0, 30, lambda _, m: jnp.tanh(m @ matrix), matrix)[:2, :1]


def test_sample_returns_before_its_batches_are_done():
    def run():
        return jd.sample(
            jax.random.key(0), slow, shape=(2, 1), num=4, batch=1, solver=jd.DDIM(), grid=np.array([-1.0, 0.0])
        ).images

    jax.block_until_ready(run())
    for _ in range(10):  # other processes may interrupt this one
        began = time.perf_counter()
        images = run()
        returned = time.perf_counter() - began
        jax.block_until_ready(images)
        if returned < 0.5 * (time.perf_counter() - began):
            return
    raise AssertionError("ten times the call took at least half of the time until the images were there")
