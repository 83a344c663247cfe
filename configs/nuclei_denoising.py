"""Denoising of nuclei, trained on BBBC039: the clean image, given a recording with 10 to 100 photons at the peak.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    2,000 steps of 16: about 13 minutes on cores shared with other work
result  34.6 dB from 10 photons on unseen wells: docs/evidence.md; the trained model comes with the package
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import Denoising
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="nuclei_denoising",
    data=BBBC039(path=Path("data/bbbc039"), normalise="anscombe"),
    pairs=Denoising(),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=2000,
)
