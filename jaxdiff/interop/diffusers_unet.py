"""diffusers' `UNet2DModel` as a Flax network of the same numbers, channels last.

Ho et al. 2020 (arXiv:2006.11239) with the options of Dhariwal and Nichol 2021 (arXiv:2105.05233). Fields carry the names
and defaults of diffusers' config.json. Norms' statistics, embedding and the last convolution stay float32.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdiff.interop.diffusers_blocks import Attention, Norm, Resnet, timestep_embedding
from jaxdiff.nn.attention import Implementation
from jaxdiff.nn.lanes import nearest
from jaxdiff.nn.silu import silu
from jaxdiff.nn.single import each
from jaxdiff.schema import dataclass_of

DOWN_BLOCKS = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP_BLOCKS = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
ONLY = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "mid_block_type": ("UNetMidBlock2D",),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}
"""Values of config.json that are supported, where not all are."""
IRRELEVANT = ("sample_size", "num_train_timesteps")
"""Fields of config.json that change nothing here (the second one belongs to learned time embeddings)."""


class DiffusersUNet(nn.Module):
    """`UNet2DModel`: (B, H, W, in_channels) -> (B, H, W, out_channels), float32.

    `network.apply(variables, x, timestep, cond, train=False)` with timestep (B,), also between the integers, and cond
    None, or {"label": (B,) int} where `num_class_embeds` is set; a label that is no class gives NaN. Fields that are not
    explained here are those of diffusers' config.json. Raises ValueError for values of them that are not supported
    (`ONLY`, `DOWN_BLOCKS`, `UP_BLOCKS`), for a size that the levels do not divide, and for a label missing or too many.
    """

    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: str | None = "UNetMidBlock2D"
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    dropout: float = 0.0
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True
    class_embed_type: str | None = None
    num_class_embeds: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the arithmetic, not in config.json."""
    attention_implementation: Implementation | None = None
    """As in `jaxdiff.nn.UNet`; not in config.json."""

    def __post_init__(self):
        for name in ("down_block_types", "up_block_types", "block_out_channels"):  # JSON gives lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, values in ONLY.items():
            if getattr(self, name) not in values:
                raise ValueError(_unsupported(name, getattr(self, name), values))
        for name, values in (("down_block_types", DOWN_BLOCKS), ("up_block_types", UP_BLOCKS)):
            if len(getattr(self, name)) != len(self.block_out_channels):
                raise ValueError(
                    f"got {len(getattr(self, name))} {name}; expected {len(self.block_out_channels)}, one for each of "
                    "block_out_channels; to fix: check config.json"
                )
            for kind in getattr(self, name):
                if kind.removeprefix("UNetRes") not in values:
                    raise ValueError(_unsupported(name, kind, values))
        self._check_sizes()
        super().__post_init__()

    def _check_sizes(self):
        sizes = {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "norm_num_groups": self.norm_num_groups,
        }
        sizes |= {"layers_per_block": self.layers_per_block, "time_embedding_dim": self.time_embedding_dim}
        sizes |= {"attention_head_dim": self.attention_head_dim, "attn_norm_num_groups": self.attn_norm_num_groups}
        sizes |= {"num_class_embeds": self.num_class_embeds, "levels": len(self.block_out_channels)}
        sizes |= {f"block_out_channels[{i}]": size for i, size in enumerate(self.block_out_channels)}
        most = {"layers_per_block": 64, "levels": 16}
        for name, size in sizes.items():
            if size is not None and not 1 <= size <= most.get(name, 10**6):
                raise ValueError(
                    f"got {name}={size} in config.json; expected 1 to {most.get(name, 10**6)}; to fix: fetch it again"
                )
        if wrong := [size for size in self.block_out_channels if size % self.norm_num_groups]:
            raise ValueError(
                f"got block_out_channels of {wrong[0]} with norm_num_groups={self.norm_num_groups} in config.json; expected "
                "multiples; to fix: fetch it again"
            )
        if self.mid_block_scale_factor == 0 or not 0 <= self.dropout < 1 or not self.norm_eps > 0:
            raise ValueError(
                f"got mid_block_scale_factor={self.mid_block_scale_factor}, dropout={self.dropout}, norm_eps={self.norm_eps} "
                "in config.json; expected the first not 0, 0 to 1, and above 0; to fix: fetch it again"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **fields: Any) -> "DiffusersUNet":
        """The network of a config.json; `fields` replace or add. Raises ValueError for what is not supported."""
        if config.get("_class_name", "UNet2DModel") not in ("UNet2DModel", "UNetUnconditionalModel"):
            raise ValueError(_unsupported("_class_name", config["_class_name"], ("UNet2DModel",)))
        settings = {
            name: value for name, value in config.items() if not name.startswith("_") and name not in IRRELEVANT
        }
        supported = {field.name for field in dataclasses.fields(cls)} - {"parent", "name"}
        unknown = sorted(name for name in settings if name not in supported and settings[name] is not None)
        if unknown:
            raise ValueError(_unsupported("fields", ", ".join(unknown), sorted(supported)))
        settings = {name: value for name, value in settings.items() if name in supported and name not in fields}
        return dataclass_of(cls, {**settings, **fields})

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch h w c"],
        timestep: Float[Array, " batch"],
        cond: Mapping[str, Any] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch h w out"]:
        levels = len(self.block_out_channels)
        if x.ndim != 4 or x.shape[-1] != self.in_channels or any(s % 2 ** (levels - 1) for s in x.shape[1:3]):
            raise ValueError(
                f"got x of shape {x.shape}; expected (B, H, W, {self.in_channels}) with H and W multiples of "
                f"{2 ** (levels - 1)}; to fix: pad or crop the images"
            )
        label = (cond or {}).get("label")
        if (label is None) != (self.num_class_embeds is None):
            raise ValueError(
                f"got {'no label' if label is None else 'a label'} for num_class_embeds={self.num_class_embeds}; expected "
                "a label exactly where the network has classes; to fix: cond=jd.condition(label=...), or None"
            )
        return each(lambda network, *image: network._one(*image, train), self, x, timestep, label)

    def _one(self, x: Float[Array, "h w c"], timestep: Float[Array, ""], label: Int[Array, ""] | None, train: bool):
        """One image."""
        levels = len(self.block_out_channels)
        dtype = jnp.dtype(self.dtype)
        width = self.block_out_channels[0]
        common = (
            self.norm_num_groups,
            self.norm_eps,
            self.resnet_time_scale_shift == "scale_shift",
            self.dropout,
            dtype,
        )
        embedding = self._embedding(timestep, label)

        def resnet(h, channels, name, **fields):
            return Resnet(channels, *common, name=name, **fields)(h, embedding, train)

        def attend(h, name, groups, **fields):
            head_size = self.attention_head_dim or h.shape[-1]
            kernel = self.attention_implementation
            return Attention(head_size, groups, self.norm_eps, dtype, kernel, name=name, **fields)(h)

        h = nn.Conv(width, (3, 3), dtype=dtype, name="conv_in")(x)
        skips = [h]
        for level, (kind, channels) in enumerate(zip(self.down_block_types, self.block_out_channels)):
            stage, attentive = f"down_blocks_{level}", "Attn" in kind
            for i in range(self.layers_per_block):
                h = resnet(h, channels, f"{stage}_resnets_{i}")
                if attentive:
                    h = attend(h, f"{stage}_attentions_{i}", self.norm_num_groups)
                skips.append(h)
            if level < levels - 1:
                name = f"{stage}_downsamplers_0"
                if "Resnet" in kind or (attentive and self.downsample_type == "resnet"):
                    h = resnet(h, channels, name, resample="down")
                else:
                    before = 1 if self.downsample_padding else 0
                    conv = nn.Conv(channels, (3, 3), 2, padding=((before, 1),) * 2, dtype=dtype, name=f"{name}_conv")
                    h = conv(h)
                skips.append(h)

        factor = dict(divide=self.mid_block_scale_factor)
        default_groups = self.norm_num_groups if self.resnet_time_scale_shift == "default" else None
        h = resnet(h, h.shape[-1], "mid_block_resnets_0", **factor)
        if self.add_attention:
            h = attend(h, "mid_block_attentions_0", self.attn_norm_num_groups or default_groups, **factor)
        h = resnet(h, h.shape[-1], "mid_block_resnets_1", **factor)

        for level, (kind, channels) in enumerate(zip(self.up_block_types, self.block_out_channels[::-1])):
            stage, attentive = f"up_blocks_{level}", "Attn" in kind
            for i in range(self.layers_per_block + 1):
                h = resnet(jnp.concatenate([h, skips.pop()], axis=-1), channels, f"{stage}_resnets_{i}")
                if attentive:
                    h = attend(h, f"{stage}_attentions_{i}", self.norm_num_groups)
            if level < levels - 1:
                name = f"{stage}_upsamplers_0"
                if "Resnet" in kind or (attentive and self.upsample_type == "resnet"):
                    h = resnet(h, channels, name, resample="up")
                else:
                    h = nn.Conv(channels, (3, 3), dtype=dtype, name=f"{name}_conv")(nearest(h))

        h = silu(Norm(self.norm_num_groups, self.norm_eps, name="conv_norm_out")(h.astype(jnp.float32)))
        return nn.Conv(self.out_channels, (3, 3), dtype=jnp.float32, name="conv_out")(h)

    def _embedding(self, timestep, label: Int[Array, ""] | None):
        """SiLU of the sum of time and class embeddings: every use of it in diffusers begins with that SiLU."""
        size = self.time_embedding_dim or 4 * self.block_out_channels[0]
        h = timestep_embedding(timestep, self.block_out_channels[0], self.flip_sin_to_cos, self.freq_shift)
        h = silu(nn.Dense(size, name="time_embedding_linear_1")(h))
        h = nn.Dense(size, name="time_embedding_linear_2")(h)
        if label is not None:
            table = self.param(
                "class_embedding", nn.initializers.normal(1.0), (self.num_class_embeds, size), jnp.float32
            )
            rows = jnp.take(table, jnp.maximum(label, 0), axis=0, mode="fill", fill_value=jnp.nan)
            h = h + jnp.where(label >= 0, rows, jnp.nan)
        return silu(h)


def _unsupported(name: str, value: Any, expected: Any) -> str:
    return f"got {name}={value!r} in config.json; expected one of {tuple(expected)}; to fix: use a model without it"
