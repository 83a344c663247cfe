"""A transformer that predicts from (x, lam, condition) in pixels; it knows no process and no prediction type.

Peebles and Xie 2023 (arXiv:2212.09748), with long skips between its halves (Bao et al. 2023, arXiv:2209.12152), rotary
positions (Su et al. 2021, arXiv:2104.09864) and, for large patches, a narrow embedding of them (Li and He 2025,
arXiv:2511.13720). Layers are those of one image (`nn.single`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.blocks import depth_to_space, pad_to_multiple, space_to_depth
from jaxdiff.nn.contract import called, check_fields, check_heads, conditioned
from jaxdiff.nn.conv import Conv
from jaxdiff.nn.norm import Modulation
from jaxdiff.nn.rotary import turns
from jaxdiff.nn.transformer import rms_norm, transformer_block

NARROW = 128
"""Li and He's channels between a large patch and the width."""
LARGE = 16
"""Pixels along each axis of a patch that is embedded through them."""
TOKENS = 1024
"""Of one image, at most, by `DiT.patch_for`."""


class DiT(nn.Module):
    """Transformer for 2-D and 3-D images of any size and channel count: (B, *spatial, C) -> the same shape, float32.

    An image is cut into patches, one token each; its sizes are mirrored out to multiples of `patch_size` inside and cropped
    at the end. Cost grows with the tokens, that of attention with their square: up to about 1,024 an image
    (`DiT.patch_for`). Positions are rotary, so that parameters do not depend on the image size.

    `network.apply(variables, x, lam, cond, train=False, rngs={"dropout": key})` as for `jd.UNet`, with the same conditions.
    The output is zero at initialisation. Raises ValueError for fields that contradict each other, for an input without
    batch axis, and for a condition that the network was not built for; a condition that is left out is the null.

    `DiT.S(...)`, `DiT.B(...)` and `DiT.L(...)` have the sizes of Peebles and Xie.
    """

    width: int = 384
    """Channels of a token; a multiple of the head size."""
    blocks: int = 12
    """Transformer blocks."""
    head_size: int = 128
    """Channels of one attention head, even; 128 fill a TPU's matrix unit, 64 and up are fast elsewhere."""
    patch_size: int = 4
    """Pixels along each axis of one token. From 16 on, predict x0 (Li and He 2025): a narrow token cannot hold noise."""
    skips: bool = True
    """Long skips: each block of the first half hands its output to one of the last half (Bao et al. 2023)."""
    bottleneck: int | None = None
    """Channels between a patch and its token; 0 = straight, none = 128 from patches of 16 on, straight below."""
    dropout: float = 0.0
    """Fraction of activations dropped in training."""
    num_classes: int = 0
    """Classes of the label condition; 0 = none."""
    vector_size: int = 0
    """Entries of the vector condition, without its presence flag; 0 = none."""
    image_channels: int = 0
    """Channels of the image condition, without its presence channel; 0 = none."""
    augmentation_size: int = 0
    """Entries of the augmentation label, one more than the spatial axes; 0 = none (see `jd.UNet`)."""
    reads_span: bool = False
    """Whether it is told how far a step of the sampler leads, and learns the mean of D over it (`jd.MeanFlow`); a step of 0,
    or none told, is D itself."""
    reads_guidance: bool = False
    """Whether it is told a scale of guidance, which it has learned from a guided teacher; not told, none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the arithmetic; parameters, norms, softmax, embedding and output stay float32."""
    remat: Literal["none", "cheap", "all"] = "none"
    """What the backward pass computes again instead of keeping it: nothing, all of a block but its matrix products, or whole
    blocks (least memory, about a third more time)."""
    attention_implementation: Literal["xla", "cudnn"] | None = None
    """Attention kernel: None and xla are plain XLA, cudnn is flash attention (bfloat16 on CUDA; no forward derivatives)."""

    @classmethod
    def S(cls, **fields: Any) -> "DiT":
        """12 blocks of width 384; other fields as they are given."""
        return cls(**{"width": 384, "blocks": 12, **fields})

    @classmethod
    def B(cls, **fields: Any) -> "DiT":
        """12 blocks of width 768; other fields as they are given."""
        return cls(**{"width": 768, "blocks": 12, **fields})

    @classmethod
    def L(cls, **fields: Any) -> "DiT":
        """24 blocks of width 1024; other fields as they are given."""
        return cls(**{"width": 1024, "blocks": 24, **fields})

    @staticmethod
    def patch_for(spatial: Sequence[int], tokens: int = TOKENS) -> int:
        """The smallest power of two as `patch_size` that makes at most `tokens` tokens of an image of these sizes."""
        if not spatial or min(spatial) < 1 or tokens < 1:
            raise ValueError(f"got spatial={spatial}, tokens={tokens}; expected sizes of 1 or more; to fix: (64, 64)")
        patch = 1
        while math.prod(-(-size // patch) for size in spatial) > tokens:
            patch *= 2
        return patch

    def __post_init__(self):
        check_fields(self, ("width", "blocks", "head_size", "patch_size"))
        if self.blocks > 128 or self.patch_size > 64:
            raise ValueError(
                f"got DiT blocks={self.blocks}, patch_size={self.patch_size}; expected at most 128 and 64; to fix: a "
                "smaller network"
            )
        check_heads(self, self.width)
        if self.bottleneck is not None and self.bottleneck < 0:
            raise ValueError(f"got DiT bottleneck={self.bottleneck}; expected 0 or more; to fix: 0 = straight")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        lam: Float[Array, " batch"],
        cond: Mapping[str, Any] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch *spatial channels"]:
        return called(DiT._one, self, x, lam, cond, train)

    def _one(self, x: Float[Array, "*spatial channels"], lam: Float[Array, ""], cond: Mapping[str, Any], train: bool):
        """One image."""
        *spatial, channels = x.shape
        x, emb = conditioned(self, x, lam, cond, self.width)
        x, crop = pad_to_multiple(x, self.patch_size)
        patches = space_to_depth(x, self.patch_size)
        *grid, entries = patches.shape

        h = self._body(self._embedded(patches.reshape(-1, entries)), emb, turns(grid, self.head_size // 2), train)

        shift, scale = Modulation(self.width, 2, nn.initializers.zeros, name="modulation_out")(emb)
        h = rms_norm(h) * (1 + scale) + shift
        out = self.patch_size ** len(spatial) * channels
        h = nn.Dense(out, dtype=jnp.float32, kernel_init=nn.initializers.zeros, name="out")(h)
        return depth_to_space(h.reshape(*grid, out), self.patch_size)[crop]

    def _embedded(self, patches: Float[Array, "tokens entries"]) -> Float[Array, "tokens width"]:
        dtype = jnp.dtype(self.dtype)
        narrow = (NARROW if self.patch_size >= LARGE else 0) if self.bottleneck is None else self.bottleneck
        if narrow:
            patches = nn.Dense(narrow, use_bias=False, dtype=dtype, name="bottleneck")(patches)
        return nn.Dense(self.width, dtype=dtype, name="tokens")(patches)

    def _body(self, h: Float[Array, "tokens width"], emb: Float[Array, " width"], positions: Any, train: bool):
        """The blocks. The middle one, of an even number the middle two, have no skip: theirs would be their own input."""
        block, dtype = transformer_block(self), jnp.dtype(self.dtype)
        half = (self.blocks - 1) // 2 if self.skips else 0
        handed = []
        for i in range(self.blocks):
            if i >= self.blocks - half:
                skip = Conv(self.width, (), False, dtype, nn.initializers.zeros, name=f"skip{i}")
                h = h + skip(h, handed.pop())
            h = block(name=f"block{i}")(h, emb, positions, train)
            if i < half:
                handed.append(h)
        return h
