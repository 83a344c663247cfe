"""How training draws noise levels: one lam for each example of the global batch, with the density it was drawn from.

The density is returned as its inverse, |dlam / du| for the uniform variable u: zero at a flat end, never infinite.
"""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxdiff.process.schedules import Schedule
from jaxdiff.seeds import check_key


class LamSampler(Protocol):
    """`(key, index, total) -> (lam, 1 / density)` for example `index` of `total`; the same key for the whole batch."""

    def __call__(
        self, key: PRNGKeyArray, index: Int[Array, ""], total: int
    ) -> tuple[Float[Array, ""], Float[Array, ""]]: ...


@dataclass(frozen=True)
class Stratified:
    """Times uniform in the schedule's t, one in each of `total` equal parts of the axis.

    One offset u for the whole batch, example i at (u + i / total) mod 1: every example alone is uniform, the batch is
    spread evenly, and the draws depend on the global index only, not on how devices share the batch (Kingma et al.
    2021, arXiv 2107.00630, appendix I.1). Times whose lam lies outside the schedule's [lam_min, lam_max] are never
    drawn.
    """

    schedule: Schedule

    def __call__(
        self, key: PRNGKeyArray, index: Int[Array, ""], total: int
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        check_key(key)
        clean, noisy = (float(self.schedule.to_time(lam)) for lam in (self.schedule.lam_max, self.schedule.lam_min))
        u = jnp.mod(jax.random.uniform(key) + index / total, 1.0)
        t = clean + (noisy - clean) * u
        lam, rate = jax.jvp(self.schedule.lam, (t,), (jnp.ones_like(t),))
        # Only rounding can leave the interval.
        return jnp.clip(lam, self.schedule.lam_min, self.schedule.lam_max), (noisy - clean) * jnp.abs(rate)
