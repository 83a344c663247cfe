"""What the networks here have in common: fields that are checked alike, what a backward pass keeps, the call on a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jaxdiff.nn import conv
from jaxdiff.nn.condition import FIELDS, completed, expected
from jaxdiff.nn.single import each

_kept = jax.checkpoint_policies
POLICIES = {
    "cheap": _kept.save_from_both_policies(_kept.dots_saveable, _kept.save_only_these_names(conv.NAME)),
    "all": _kept.nothing_saveable,
}
"""Of rematerialisation, by the field `remat`: what is kept where it is not "none"."""


def check_fields(network: Any, positive: Sequence[str]) -> None:
    """Raises ValueError for fields that no network could have; `positive` names those that are 1 or more."""
    name = type(network).__name__
    for field in positive:
        if getattr(network, field) < 1:
            raise ValueError(f"got {name} {field}={getattr(network, field)}; expected 1 or more; to fix: raise it")
    for field in FIELDS.values():
        if getattr(network, field) < 0:
            raise ValueError(
                f"got {name} {field}={getattr(network, field)}; expected 0 or more; to fix: 0 = no condition"
            )
    if not 0 <= network.dropout < 1:
        raise ValueError(f"got {name} dropout={network.dropout}; expected 0 <= dropout < 1; to fix: 0.1")
    if network.remat not in ("none", *POLICIES):
        raise ValueError(f"got {name} remat={network.remat!r}; expected none, cheap or all; to fix: choose one")
    if network.dtype not in ("float32", "bfloat16"):
        raise ValueError(f"got {name} dtype={network.dtype!r}; expected 'float32' or 'bfloat16'; to fix: choose one")
    if network.attention_implementation == "cudnn" and network.dtype != "bfloat16":
        raise ValueError(
            f"got {name} attention_implementation='cudnn' in float32; expected bfloat16; "
            "to fix: dtype='bfloat16' or attention_implementation=None"
        )


def called(
    network: nn.Module,
    x: Float[Array, "batch *spatial channels"],
    lam: Float[Array, " batch"],
    cond: Mapping[str, Any] | None,
    train: bool,
) -> Float[Array, "batch *spatial channels"]:
    """`network.one(x, lam, cond, train)` for each image of a batch, with the null for conditions that are left out.

    Raises ValueError for an input without batch axis, and for a condition that the network was not built for.
    """
    if x.ndim not in (4, 5):
        raise ValueError(f"got x of shape {x.shape}; expected (B, [D,] H, W, C); to fix: x[None] adds a batch axis")
    if lam.shape != x.shape[:1]:
        raise ValueError(f"got lam of shape {lam.shape}; expected {x.shape[:1]}; to fix: one lam an image")
    cond = completed(cond, expected(network, x.shape[0], x.shape[1:-1]))
    return each(lambda network, x, lam, cond: network.one(x, lam, cond, train), network, x, lam, cond)
