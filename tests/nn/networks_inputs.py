"""What the tests of networks call them with."""

import jax
import jax.numpy as jnp

from jaxdiff.nn import condition

KINDS = dict(num_classes=3, vector_size=2, image_channels=1)


def inputs(shape, seed=0):
    """Noisy images of a shape with batch, and λ."""
    keys = jax.random.split(jax.random.key(seed), 2)
    return jax.random.normal(keys[0], shape), jax.random.uniform(keys[1], shape[:1], minval=-5, maxval=5)


def conditions(shape):
    """All of `KINDS`."""
    batch = shape[0]
    keys = jax.random.split(jax.random.key(7), 2)
    return condition(
        label=jnp.arange(batch) % 3,
        vector=jax.random.normal(keys[0], (batch, 2)),
        image=jax.random.normal(keys[1], (*shape[:-1], 1)),
    )
