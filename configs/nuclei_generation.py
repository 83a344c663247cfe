"""Labelled generation of nuclei, trained on BBBC039: new images of given instances.

data    BBBC039 (CC0), 520 x 696 fields with masks: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    3,000 steps of 32: about 13 minutes on cores shared with other work
result  docs/evidence.md; the trained model comes with the package
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import LabelledGeneration
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="nuclei_generation",
    data=BBBC039(path=Path("data/bbbc039")),
    pairs=LabelledGeneration(),
    patch=(64, 64),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=4, image_channels=1),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=32,
    steps=3000,
)
