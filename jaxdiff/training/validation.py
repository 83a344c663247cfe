"""The loss on held-out patches, always the same ones with the same noise: only the network changes."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxdiff.training.loss import DenoisingLoss, binned


class Validation:
    """`validation(params) -> row`, on one device.

    All patches together share one stratified set of lams, and example i has noise from (key, i), so that two
    measurements differ by the parameters alone. The condition is never dropped.
    """

    def __init__(self, loss: DenoisingLoss, network: Any, key: PRNGKeyArray, batches: Sequence[dict[str, Any]]):
        """`batches`: held-out examples as the loss takes them; the last one may be smaller."""
        self._batches, self._key = batches, key
        self._sizes = [len(batch["image"]) for batch in batches]
        total = sum(self._sizes)

        @jax.jit
        def measure(params, key, first, batch):
            return loss(network, params, key, batch, train=False, first=first, total=total)[1]

        self._measure = measure

    def __call__(self, params: Any) -> dict[str, float]:
        """{"validation/loss": ..., ...}: means over all patches."""
        starts = np.cumsum([0, *self._sizes[:-1]])
        parts = [self._measure(params, self._key, first, batch) for first, batch in zip(starts, self._batches)]
        parts = jax.device_get(parts)
        means = {name: np.average([part[name] for part in parts], 0, self._sizes) for name in parts[0]}
        row = binned(means) | {name: float(value) for name, value in means.items() if np.ndim(value) == 0}
        return {f"validation/{name}": value for name, value in row.items()}
