"""Exponential moving average of the parameters: what is sampled from."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class EMA:
    """ema <- d ema + (1 - d) params, with d = min(decay, (1 + n) / (10 + n)) after n applied steps.

    The warm-up forgets the random start at once and averages about the last tenth of a short run (as
    `tf.train.ExponentialMovingAverage(num_updates=n)`; the same idea as the ramp-up of Karras et al. 2022, arXiv
    2206.00364).
    """

    decay: float = 0.999
    """Longest memory: about 1 / (1 - decay) steps. 0 turns the average off (it equals the parameters)."""

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"got ema decay {self.decay}; expected 0 <= decay < 1; to fix: use 0.999 or 0.9999")

    def rate(self, n) -> jax.Array:
        """The d of the step after n applied steps."""
        n = jnp.asarray(n, jnp.float32)
        return jnp.minimum(self.decay, (1 + n) / (10 + n))

    def update(self, ema: Any, params: Any, n) -> Any:
        """The average with `params` taken in; leaf shapes and dtypes unchanged."""
        d = self.rate(n)
        # ema + (1-d)(p - ema) keeps a parameter that does not move exactly where it is.
        return jax.tree.map(lambda e, p: e + ((1 - d) * (p - e)).astype(e.dtype), ema, params)
