"""Seeds of random numbers: every one of them is another one."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

WORD = 2**32


def checked_seed(seed: Any, most: int = WORD**2) -> int:
    """`seed` as a number. Raises ValueError unless it is a whole one, from 0 to below `most`."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool | np.bool_) or not 0 <= number < most:
        raise ValueError(
            f"got seed={seed!r}; expected a whole number from 0 to 2**{most.bit_length() - 1} - 1; to fix: another one"
        )
    return number


def key_of(seed: Any) -> PRNGKeyArray:
    """`jax.random.key(seed)`, with higher 32 bits that count.

    JAX in single precision takes 2**32 for 0, and -1 for 2**32 - 1. Raises ValueError for what `checked_seed` refuses.
    """
    number = checked_seed(seed)
    if number < WORD:
        return jax.random.key(number)
    with jax.enable_x64(True):
        return jax.random.key(np.uint64(number))


def check_key(key: Any) -> None:
    """Raises ValueError unless `key` is one random key of JAX: of `jax.random.key`, or of the older `jax.random.PRNGKey`."""
    dtype, shape = getattr(key, "dtype", None), np.shape(key)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    raw = dtype == np.uint32 and len(shape) == 1
    if not (typed or raw):
        shown = repr(key) if dtype is None else f"an array of shape {shape}, {dtype}"
        raise ValueError(f"got key={shown}; expected a key; to fix: jax.random.key(0)")
