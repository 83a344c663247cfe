"""Networks are written for one image and mapped over the batch: no layer has a batch axis, nor one of length 1.

A denoiser is a function of one image, so that under `jax.vmap` a network is called with batches of one. An axis of length 1
in every activation cost a TPU's compiler a fifth of its cycles, and XLA's CPU backend reduces over one ten times slower.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax


def each(one: Callable[..., jax.Array], module: nn.Module, *batched: Any) -> jax.Array:
    """`one(module, *example)` for each example of a batch, which all share the module's parameters.

    batched: pytrees of arrays with a leading batch axis. A batch of one is called without any axis; in others each example
    has a dropout key of its own.
    """
    if jax.tree.leaves(batched)[0].shape[0] == 1:
        return one(module, *jax.tree.map(lambda leaf: leaf[0], batched))[None]
    return nn.vmap(one, variable_axes={"params": None}, split_rngs={"params": False, "dropout": True})(module, *batched)
