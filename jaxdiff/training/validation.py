"""The loss on held-out patches, always the same ones with the same noise: only the network changes."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxdiff.training.metrics_log import as_row
from jaxdiff.training.objective import Loss, extras


class Validation:
    """`validation(params, step, teacher) -> row`, on one device.

    All patches together share one stratified set of lams, and example i has noise from (key, i), so that two
    measurements differ by the parameters alone. The condition is never dropped.
    """

    def __init__(self, loss: Loss, network: Any, key: PRNGKeyArray, batches: Sequence[dict[str, Any]]):
        """`batches`: held-out examples as the loss takes them; the last one may be smaller."""
        self._batches, self._key, self._loss = batches, key, loss
        self._sizes = [len(batch["image"]) for batch in batches]
        total = sum(self._sizes)

        @jax.jit
        def measure(params, key, first, batch, also):
            value, metrics = loss(network, params, key, batch, train=False, first=first, total=total, **also)
            return {"loss": value, **metrics}

        self._measure = measure

    def __call__(self, params: Any, step: int = 0, teacher: Any = None) -> dict[str, float]:
        """{"validation/loss": ..., ...}: means over all patches. step, teacher: for a loss that asks for them."""
        also = extras(self._loss, params, teacher, np.int32(step))
        starts = np.cumsum([0, *self._sizes[:-1]])
        parts = [self._measure(params, self._key, first, batch, also) for first, batch in zip(starts, self._batches)]
        parts = jax.device_get(parts)
        means = {name: np.average([part[name] for part in parts], 0, self._sizes) for name in parts[0]}
        return {f"validation/{name}": value for name, value in as_row(means).items()}
