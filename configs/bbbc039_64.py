"""Nuclei of BBBC039, 64 x 64 pixels.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it into data/bbbc039
device  two CPU cores
time    2,500 steps of 32: 25 minutes on cores shared with other work
result  intensities and counts as near as other real wells, areas barely, outlines too rough: docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="bbbc039_64",
    data=BBBC039(path=Path("data/bbbc039")),
    patch=(64, 64),
    network=UNet(width=64, multipliers=(1, 2), blocks=2, attention=(False, True), patch_size=4),
    optimizer=AdamW(learning_rate=6e-4, warmup=100),
    batch_size=32,
    steps=2500,
)
