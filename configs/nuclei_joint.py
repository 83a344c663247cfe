"""Nuclei together with their masks, trained on BBBC039: image and signed distance in one.

data    BBBC039 (CC0), 520 x 696 fields with masks: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    3,000 steps of 32: about 15 minutes
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import Joint
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="nuclei_joint",
    data=BBBC039(path=Path("data/bbbc039")),
    pairs=Joint(),
    patch=(64, 64),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=4),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=32,
    steps=3000,
)
