"""Nuclei of BBBC039, 32 x 32 pixels after binning by 2.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it into data/bbbc039
device  two CPU cores
time    2,000 steps of 32: 37 minutes on cores shared with other work
result  as near to held-out fields as other real wells are, but for the outlines: docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="bbbc039_32",
    data=BBBC039(path=Path("data/bbbc039"), binning=2),
    patch=(32, 32),
    network=UNet(width=64, multipliers=(1, 2), blocks=2, attention=(False, True), patch_size=2),
    optimizer=AdamW(learning_rate=6e-4, warmup=100),
    batch_size=32,
    steps=2000,
)
