"""Seeds of random numbers: every one of them is another one."""

import operator
from typing import Any

import jax
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
