"""What the networks here have in common: fields that are checked alike, what a backward pass keeps, the call on a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn import conv
from jaxdiff.nn.condition import FIELDS, completed, expected
from jaxdiff.nn.embed import Embedding
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


def check_heads(network: Any, width: int) -> None:
    """Raises ValueError where a transformer of `width` channels has no whole number of heads, or heads no pairs."""
    size = network.head_size
    if width % size or size % 2:
        raise ValueError(
            f"got {type(network).__name__} head_size={size} for {width} channels; expected an even size that divides them; "
            f"to fix: head_size={next((n for n in (128, 64, 32, 16, 8, 4) if not width % n), 2)}, or other channels"
        )


def called(
    one: Callable[..., jax.Array],
    network: nn.Module,
    x: Float[Array, "batch *spatial channels"],
    lam: Float[Array, " batch"],
    cond: Mapping[str, Any] | None,
    train: bool,
) -> Float[Array, "batch *spatial channels"]:
    """A network of one image on a batch, with the null for conditions that are left out.

    Args:
        one: from (network, x, lam, cond, train) without batch axes to an image.
        network: whose parameters all images share.
        x: (B, *spatial, C).
        lam: (B,).
        cond: conditions with leading B, or None.
        train: whether to drop activations.

    Returns:
        (B, *spatial, C).

    Raises:
        ValueError: for an input without batch axis, and for a condition that the network was not built for.
    """
    if x.ndim not in (4, 5):
        raise ValueError(f"got x of shape {x.shape}; expected (B, [D,] H, W, C); to fix: x[None] adds a batch axis")
    if lam.shape != x.shape[:1]:
        raise ValueError(f"got lam of shape {lam.shape}; expected {x.shape[:1]}; to fix: one lam an image")
    cond = completed(cond, expected(network, x.shape[0], x.shape[1:-1]))
    return each(lambda network, x, lam, cond: one(network, x, lam, cond, train), network, x, lam, cond)


def conditioned(
    network: Any, x: Float[Array, "*spatial channels"], lam: Float[Array, ""], cond: Mapping[str, Any], size: int
) -> tuple[Float[Array, "*spatial more"], Float[Array, " size"]]:
    """What a network of one image reads: the image with its image condition beside, float32, and the embedding of all else.

    Args:
        network: in whose compact method this is called; the embedding's parameters are its own.
        x: one image.
        lam: of it.
        cond: complete.
        size: entries of the embedding.

    Returns:
        Image and embedding.
    """
    sizes = (network.num_classes, network.vector_size, network.augmentation_size)
    embedding = Embedding(size, *sizes, network.reads_span, network.reads_guidance, name="embedding")
    emb = embedding(lam, *(cond.get(name) for name in ("label", "vector", "augmentation", "span", "guidance")))
    x = x.astype(jnp.float32)
    if network.image_channels:
        x = jnp.concatenate([x, cond["image"].astype(jnp.float32)], axis=-1)
    return x, emb
