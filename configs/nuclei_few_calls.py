"""Nuclei of BBBC039 in one to four calls: the shipped prior, which needs ten, learns the mean of D over a step from itself.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    3,000 steps of 16, each about three times one of ordinary training
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="nuclei_few_calls",
    data=BBBC039(path=Path("data/bbbc039"), normalise="anscombe"),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, reads_span=True),
    loss=MeanDenoising(teacher="nuclei_prior", warmup=500),
    init_from="nuclei_prior",
    optimizer=AdamW(learning_rate=3e-4, warmup=100),
    batch_size=16,
    steps=3000,
)
