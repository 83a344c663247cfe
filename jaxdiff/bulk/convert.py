"""From what the device gives to a shard in the data's units and dtype."""

import jax
import numpy as np

from jaxdiff.bulk.shards import Filled, Shard
from jaxdiff.data.files.write import as_dtype
from jaxdiff.data.normalise import Normaliser


def empty(shard: Shard, shape: tuple[int, ...], dtype: str, labels: np.ndarray | None) -> Filled:
    """Memory for a shard; `labels` are those of all images of the run."""
    own = None if labels is None else labels[shard.first : shard.first + shard.num]
    return Filled(shard, np.zeros((shard.num, *shape), dtype), own, np.zeros(shard.num, bool))


def put(samples: tuple[jax.Array, jax.Array], filled: Filled, low: int, normaliser: Normaliser) -> int:
    """Waits for a micro-batch and puts its images into the shard from `low` on; returns how many these are.

    An image with a value that is not finite, in model or data units, is marked; in an integer dtype it stays 0.
    """
    images, finite = samples
    num = min(len(images), filled.shard.num - low)
    rows = slice(low, low + num)
    finite = np.asarray(finite)[:num]
    with np.errstate(over="ignore", invalid="ignore"):  # found and counted below
        values = normaliser.inverse(np.asarray(images)[:num]).astype(np.float32)
    finite = finite & np.isfinite(values).reshape(num, -1).all(axis=1)
    usable = values if finite.all() or filled.images.dtype.kind == "f" else values[finite]
    values, saturated = as_dtype(usable, filled.images.dtype.name)
    if len(values) == num:
        filled.images[rows] = values
    else:
        filled.images[rows][finite] = values
    filled.finite[rows] = finite
    filled.saturated += saturated
    return num
