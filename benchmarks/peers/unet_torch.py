"""`jaxdiff.nn.UNet` for 2-D images in PyTorch: same arithmetic, same parameters, written as a PyTorch user would.

Channels-last in memory, fused group norm and `scaled_dot_product_attention`; Down is a strided convolution, Up a 1x1
convolution and nearest neighbours. Conditions, padding, dropout and 3-D are left out.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn


def groups_of(channels: int) -> int:
    """As in jaxdiff.nn.norm."""
    return next(g for g in range(max(1, min(32, channels // 4)), 0, -1) if channels % g == 0)


class ResidualBlock(nn.Module):
    def __init__(self, before: int, channels: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups_of(before), before)
        self.conv1 = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups_of(channels), channels, affine=False)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv2d(before, channels, 1, bias=False) if before != channels else nn.Identity()

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.shortcut(x) + h


class SelfAttention(nn.Module):
    def __init__(self, channels: int, head_size: int):
        super().__init__()
        self.heads, self.head_size = -(-channels // head_size), head_size
        self.norm = nn.GroupNorm(groups_of(channels), channels)
        self.qkv = nn.Linear(channels, 3 * self.heads * head_size, bias=False)
        self.out = nn.Linear(self.heads * head_size, channels)

    def forward(self, x):
        batch, channels, height, width = x.shape
        h = self.norm(x).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        q, k, v = self.qkv(h).view(batch, -1, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, height * width, -1)
        return x + self.out(h).view(batch, height, width, channels).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """(B, C, H, W), (B,) λ -> (B, C, H, W)."""

    def __init__(self, channels: int, width: int, multipliers, blocks: int, attention, head_size: int, patch_size: int):
        super().__init__()
        self.patch_size, self.blocks, self.levels = patch_size, blocks, len(multipliers)
        self.register_buffer("frequencies", 64.0 ** (torch.arange(32) / 31) / 16, persistent=False)
        self.embedding_lam, self.embedding_out = nn.Linear(64, 4 * width), nn.Linear(4 * width, 4 * width)
        parts = {"conv_in": nn.Conv2d(channels * patch_size**2, width * multipliers[0], 3, padding=1)}
        skips, before = [], width * multipliers[0]

        def block(name: str, level: int, before: int) -> int:
            after = width * multipliers[level]
            parts[name] = ResidualBlock(before, after, 4 * width)
            if attention[level]:
                parts[f"{name}_attention"] = SelfAttention(after, head_size)
            return after

        for level, multiplier in enumerate(multipliers):
            if level:
                parts[f"down{level}"] = nn.Conv2d(before, width * multiplier, 2, stride=2)
                before = width * multiplier
            for i in range(blocks):
                before = block(f"down{level}_block{i}", level, before)
                skips.append(before)
        before = block("middle", self.levels - 1, before)
        for level in reversed(range(self.levels)):
            for i in range(blocks):
                before = block(f"up{level}_block{i}", level, before + skips.pop())
            if level:
                parts[f"up{level}"] = nn.Conv2d(before, width * multipliers[level - 1], 1)
                before = width * multipliers[level - 1]
        self.parts = nn.ModuleDict(parts)
        self.norm_out = nn.GroupNorm(groups_of(before), before)
        self.conv_out = nn.Conv2d(before, channels * patch_size**2, 3, padding=1)

    def forward(self, x, lam):
        angles = lam.float()[:, None] * self.frequencies.float()
        features = torch.cat([angles.sin(), angles.cos()], dim=-1).to(x.dtype)
        embedding = F.silu(self.embedding_out(F.silu(self.embedding_lam(features))))
        h = self.parts["conv_in"](F.pixel_unshuffle(x, self.patch_size))
        skips = []
        for level in range(self.levels):
            if level:
                h = self.parts[f"down{level}"](h)
            for i in range(self.blocks):
                h = self._block(f"down{level}_block{i}", h, embedding)
                skips.append(h)
        h = self._block("middle", h, embedding)
        for level in reversed(range(self.levels)):
            for i in range(self.blocks):
                h = self._block(f"up{level}_block{i}", torch.cat([h, skips.pop()], dim=1), embedding)
            if level:
                h = F.interpolate(self.parts[f"up{level}"](h), scale_factor=2.0, mode="nearest")
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), self.patch_size)

    def _block(self, name, h, embedding):
        h = self.parts[name](h, embedding)
        attention = f"{name}_attention"
        return self.parts[attention](h) if attention in self.parts else h

    def load_flax(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over the variables of `jaxdiff.nn.UNet`, flattened with "." (a strict load: none missing, none left)."""
        patch = self.patch_size**2
        state = {}
        for name, value in weights.items():
            *owners, leaf = name.removeprefix("params.").split(".")
            if owners[0] == "embedding":
                owners = ["_".join(owners)]
            elif owners[0] not in ("norm_out", "conv_out"):
                owners = ["parts", *owners]
            if owners[-1] == "dense":  # a Down is a 2x2 convolution, an Up a 1x1 one
                side = 2 if owners[-2].startswith("down") else 1
                owners.pop()
                if leaf == "kernel":
                    value = value.reshape(side, side, -1, value.shape[-1])
            if owners[-1] == "modulation":
                owners.pop(-2)
            if owners[-1] == "shortcut":
                value = value[None, None]
            if leaf == "kernel":
                value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
            # space_to_depth keeps (block row, block column, channel), pixel_unshuffle (channel, row, column).
            if name.endswith("conv_in.kernel"):
                value = value.unflatten(1, (patch, -1)).transpose(1, 2).flatten(1, 2)
            if owners == ["conv_out"]:
                value = value.unflatten(0, (patch, -1)).transpose(0, 1).flatten(0, 1)
            state[".".join([*owners, {"kernel": "weight", "scale": "weight", "shift": "bias"}.get(leaf, leaf)])] = value
        self.load_state_dict(state)
