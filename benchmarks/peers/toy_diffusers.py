"""Two toy pipelines with what diffusers makes of them, for tests/interop: parity is tested where PyTorch is not installed.

    python -m benchmarks.peers.toy_diffusers tests/interop/toys      (in an environment with torch and diffusers)

ddpm has the options of Ho et al. 2020, adm those of Dhariwal and Nichol 2021; 100 kB in all.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.torch_side import TorchSide

COMMON = {"sample_size": 8, "norm_num_groups": 2, "layers_per_block": 1}
TOYS = {
    "ddpm": {
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": [4, 6],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": None,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
        "mid_block_scale_factor": 2.0,
    },
    "adm": {
        "in_channels": 2,
        "out_channels": 4,
        "block_out_channels": [4, 4],
        "down_block_types": ["AttnDownBlock2D", "ResnetDownsampleBlock2D"],
        "up_block_types": ["ResnetUpsampleBlock2D", "AttnUpBlock2D"],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": 2,
        "num_class_embeds": 3,
    },
}


def main(folder: Path) -> None:
    side = TorchSide()
    for name, config in TOYS.items():
        toy = folder / name
        side.make(str(toy), COMMON | config, seed=0)
        side.open(str(toy), "float32")
        start = np.random.default_rng(0).standard_normal((3, 8, 8, config["in_channels"]), dtype=np.float32)
        np.save(toy / "start.npy", start)
        for label in (0, 400, 999):
            side.call(str(toy / "start.npy"), label, str(toy / f"call_{label}.npy"))
        for solver in ("DDIM", "DPM++2M"):
            side.sample(str(toy / "start.npy"), 8, solver, str(toy / f"{solver}.npy"))
        arrays = {path.stem: path for path in sorted(toy.glob("*.npy"))}
        np.savez_compressed(toy / "results.npz", **{key: np.load(path) for key, path in arrays.items()})
        for path in arrays.values():
            path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
