"""Nuclei of BBBC039, 128 x 128 pixels.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it into data/bbbc039
device  one GPU (bfloat16); two CPU cores reach 1.5 images/s in float32
time    100,000 steps of 64; not measured on a GPU yet
result  not measured yet
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="bbbc039_128",
    data=BBBC039(path=Path("data/bbbc039")),
    patch=(128, 128),
    network=UNet(
        width=128, multipliers=(1, 2, 4), blocks=2, attention=(False, False, True), patch_size=2, dtype="bfloat16"
    ),
    optimizer=AdamW(learning_rate=2e-4, warmup=1000),
    batch_size=64,
    steps=100_000,
)
