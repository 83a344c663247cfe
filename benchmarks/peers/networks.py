"""The networks of the comparison with PyTorch, as data."""

from dataclasses import dataclass

CIFAR = {
    "_class_name": "UNet2DModel",
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
"""google/ddpm-cifar10-32: the network of Ho et al. 2020 (arXiv:2006.11239), 35.7 M parameters."""


def adm(width: int) -> dict:
    """The 64x64 network of Dhariwal and Nichol 2021 (arXiv:2105.05233) at `width` (theirs 192: 296 M parameters)."""
    return {
        "_class_name": "UNet2DModel",
        "sample_size": 64,
        "in_channels": 3,
        "out_channels": 6,
        "block_out_channels": [width, 2 * width, 3 * width, 4 * width],
        "layers_per_block": 3,
        "down_block_types": ["ResnetDownsampleBlock2D", *["AttnDownBlock2D"] * 3],
        "up_block_types": [*["AttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": 64,
        "attn_norm_num_groups": 32,
        "num_class_embeds": 1000,
    }


OWN_64 = {"channels": 1, "width": 128, "multipliers": [1, 2, 2], "blocks": 2, "attention": [False, False, True]}
OWN_64 |= {"head_size": 64, "patch_size": 2}
OWN_256 = {**OWN_64, "patch_size": 4, "multipliers": [1, 2, 2, 4], "attention": [False, False, True, True]}


@dataclass(frozen=True)
class Network:
    """A network and the batches that fill a device without using it up."""

    config: dict
    """diffusers' config.json, or the fields of `jd.UNet` and its channels."""
    size: int
    """Pixels along each axis."""
    cpu_batch: int
    gpu_batch: int
    own: bool = False
    """Ours, with a port to PyTorch; else diffusers', with a port to Flax."""

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.config["channels" if self.own else "in_channels"]


NETWORKS = {
    "cifar_32": Network(CIFAR, 32, cpu_batch=4, gpu_batch=256),
    "adm_64": Network(adm(192), 64, cpu_batch=1, gpu_batch=64),
    "own_64": Network(OWN_64, 64, cpu_batch=4, gpu_batch=256, own=True),
    "own_256": Network(OWN_256, 256, cpu_batch=1, gpu_batch=64, own=True),
}
