"""The UNet that predicts from (x, lam, condition); it knows no process and no prediction type.

Ronneberger et al. 2015 (arXiv:1505.04597), Ho et al. 2020 (arXiv:2006.11239), Dhariwal and Nichol 2021
(arXiv:2105.05233); the space-to-depth stem follows Hoogeboom et al. 2023 (arXiv:2301.11093). Stem and end
are reshapes, so that the work is wide 3x3 convolutions at low resolution. With `transformer`, the lowest level is a
transformer, as in Hoogeboom et al. 2024 (arXiv:2410.19324). Layers are those of one image (`nn.single`).
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.nn.attention import Implementation, SelfAttention
from jaxdiff.nn.blocks import Down, ResidualBlock, Up, depth_to_space, pad_to_multiple, space_to_depth
from jaxdiff.nn.contract import POLICIES, called, check_fields, check_heads, conditioned
from jaxdiff.nn.conv import Conv
from jaxdiff.nn.norm import GroupNorm
from jaxdiff.nn.rotary import turns
from jaxdiff.nn.silu import silu
from jaxdiff.nn.transformer import transformer_block


class UNet(nn.Module):
    """UNet for 2-D and 3-D images of any size and channel count: (B, *spatial, C) -> the same shape, float32.

    Images are mirrored out to a multiple of `patch_size * 2 ** (levels - 1)` inside and cropped at the end; all
    spatial axes are halved alike, so a stack of few slices wants few levels (a slice costs what the multiple costs).
    Parameters do not depend on the image size: a network runs on other sizes than it was trained on.

    `network.apply(variables, x, lam, cond, train=False, rngs={"dropout": key})` with x (B, *spatial, C), lam (B,) and
    cond a dict of conditions with leading B (`nn.condition`) or None. The output is zero at initialisation. Raises
    ValueError for fields that contradict each other, for an input without batch axis, and for a condition that the
    network was not built for; a condition that is left out is the null.
    """

    width: int = 64
    """Channels of the first level; 64 and up fill a matrix unit."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level in units of width; the resolution halves from one to the next."""
    blocks: int = 2
    """Residual blocks a level, on the way down and again on the way up."""
    attention: tuple[bool, ...] = (False, False, True)
    """Self-attention after the blocks of each level; its cost grows with the square of the pixels there."""
    transformer: int = 0
    """Transformer blocks in the place of all residual blocks and attention of the lowest level, whose channels are then a
    multiple of the head size; 0 = none. Wide levels of few pixels are where they belong."""
    head_size: int = 64
    """Channels of one attention head; 64 and up are fast, 128 fill a TPU's matrix unit."""
    patch_size: int = 1
    """Pixels along each axis that the stem folds into channels; 2 or 4 make large images cheap."""
    dropout: float = 0.0
    """Fraction of activations dropped in training."""
    num_classes: int = 0
    """Classes of the label condition; 0 = none."""
    vector_size: int = 0
    """Entries of the vector condition, without its presence flag; 0 = none."""
    image_channels: int = 0
    """Channels of the image condition, without its presence channel; 0 = none."""
    augmentation_size: int = 0
    """Entries of the augmentation label, one more than the spatial axes; 0 = none. The network is told how each training
    image was flipped and turned, and sampling asks for images as they were taken (Karras et al. 2022, arXiv 2206.00364)."""
    reads_span: bool = False
    """Whether it is told how far a step of the sampler leads, and learns the mean of D over it (`jd.MeanFlow`); a step of 0,
    or none told, is D itself."""
    reads_guidance: bool = False
    """Whether it is told a scale of guidance, which it has learned from a guided teacher; not told, none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the arithmetic; parameters, norms, embedding and output stay float32."""
    remat: Literal["none", "cheap", "all"] = "none"
    """What the backward pass computes again instead of keeping it: nothing, all of a block but its convolutions and matrix
    products, or whole blocks (least memory, about a third more time)."""
    attention_implementation: Literal["xla", "cudnn"] | None = None
    """Attention kernel: None and xla are plain XLA, cudnn is flash attention (bfloat16 on CUDA)."""

    def __post_init__(self):
        for name in ("multipliers", "attention"):  # a run's JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.remat, bool):  # runs of before there was a choice
            object.__setattr__(self, "remat", "all" if self.remat else "none")
        self._check_fields()
        super().__post_init__()

    def _check_fields(self):
        check_fields(self, ("width", "blocks", "head_size", "patch_size"))
        if self.blocks > 32 or len(self.multipliers) > 16 or self.patch_size > 64 or not 0 <= self.transformer <= 128:
            raise ValueError(
                f"got UNet blocks={self.blocks}, {len(self.multipliers)} levels, patch_size={self.patch_size}, "
                f"transformer={self.transformer}; expected at most 32, 16, 64 and 128; to fix: a smaller network"
            )
        if not self.multipliers or min(self.multipliers) < 1:
            raise ValueError(f"got UNet multipliers={self.multipliers}; expected positive integers; to fix: (1, 2, 2)")
        if len(self.attention) != len(self.multipliers):
            raise ValueError(
                f"got UNet attention={self.attention} for multipliers={self.multipliers}; "
                "expected one entry a level; to fix: give both the same length"
            )

        if self.transformer:
            check_heads(self, self.width * self.multipliers[-1])

    @property
    def multiple(self) -> int:
        """Spatial sizes that are multiples of this are not padded."""
        return self.patch_size * 2 ** (len(self.multipliers) - 1)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        lam: Float[Array, " batch"],
        cond: Mapping[str, Any] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch *spatial channels"]:
        return called(UNet._one, self, x, lam, cond, train)

    def _one(self, x: Float[Array, "*spatial channels"], lam: Float[Array, ""], cond: Mapping[str, Any], train: bool):
        """One image."""
        *spatial, channels = x.shape
        x, emb = conditioned(self, x, lam, cond, 4 * self.width)
        x, crop = pad_to_multiple(x, self.multiple)

        h = self._body(space_to_depth(x, self.patch_size), emb, train)

        h = silu(GroupNorm(jnp.float32, name="norm_out")(h)[0])
        out = self.patch_size ** len(spatial) * channels
        h = Conv(out, (3,) * len(spatial), dtype=jnp.float32, kernel_init=nn.initializers.zeros, name="conv_out")(h)
        return depth_to_space(h, self.patch_size)[crop]

    def _body(self, x, emb, train: bool):
        """Stem, levels down, middle, levels up; each block on the way down hands its output to one on the way up."""
        dtype = jnp.dtype(self.dtype)
        block_class, attention_class = ResidualBlock, SelfAttention
        if self.remat != "none":
            policy = POLICIES[self.remat]
            block_class = nn.remat(ResidualBlock, static_argnums=(3,), policy=policy)
            attention_class = nn.remat(SelfAttention, policy=policy)
        implementation: Implementation | None = self.attention_implementation

        def block(level, name, *parts):
            h = block_class(self.width * self.multipliers[level], self.dropout, dtype, name=name)(parts, emb, train)
            if self.attention[level]:
                h = attention_class(self.head_size, dtype, implementation, name=f"{name}_attention")(h)
            return h

        h = Conv(self.width * self.multipliers[0], (3,) * (x.ndim - 1), dtype=dtype, name="conv_in")(x)
        skips = []
        last = len(self.multipliers) - 1
        blocks = [self.blocks] * last + [0 if self.transformer else self.blocks]
        for level, multiplier in enumerate(self.multipliers):
            if level:
                h = Down(self.width * multiplier, dtype, name=f"down{level}")(h)
            for i in range(blocks[level]):
                h = block(level, f"down{level}_block{i}", h)
                skips.append(h)
        h = self._transformed(h, emb, train) if self.transformer else block(last, "middle", h)
        for level in range(last, -1, -1):
            for i in range(blocks[level]):
                h = block(level, f"up{level}_block{i}", h, skips.pop())
            if level:
                h = Up(self.width * self.multipliers[level - 1], dtype, name=f"up{level}")(h)
        return h

    def _transformed(self, h, emb, train: bool):
        """The transformer of the lowest level: its pixels are the tokens."""
        *grid, width = h.shape
        block = transformer_block(self)
        positions, tokens = turns(grid, self.head_size // 2), h.reshape(-1, width)
        for i in range(self.transformer):
            tokens = block(name=f"transformer{i}")(tokens, emb, positions, train)
        return tokens.reshape(h.shape)
