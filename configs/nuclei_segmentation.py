"""Segmentation of nuclei, trained on BBBC039: the signed distance of instances, given the image.

data    BBBC039 (CC0), 520 x 696 fields with masks: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    4,000 steps of 16: about 15 minutes on cores shared with other work (2,000 steps, then resumed to 4,000)
result  AP 0.81 over IoU 0.5-0.9 on unseen wells: docs/evidence.md; the trained model comes with the package
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import Segmentation
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="nuclei_segmentation",
    data=BBBC039(path=Path("data/bbbc039")),
    pairs=Segmentation(),
    patch=(96, 96),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=4, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=4000,
)
