"""Nuclei of BBBC039 as a prior for restoration: deconvolution, denoising, missing pixels, without training for any.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    3,000 steps of 16: 15 minutes on one core
result  deblurs unseen wells 0.8 to 2.4 dB better than classical methods: docs/evidence.md; comes with the package
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="nuclei_prior",
    data=BBBC039(path=Path("data/bbbc039"), normalise="anscombe"),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2),
    weighting=SNRPlusOne(),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=3000,
)
