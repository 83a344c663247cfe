"""Planes of volumes as a prior for volumes: `sample.py isotropic` restores stacks of thick slices with it.

data    `--data.path FOLDER` of planes that are as sharp as the volume is to be; `benchmarks.restoration planes` makes some
device  two CPU cores
time    3,000 steps of 16: 20 minutes on one core
result  volumes of equal voxels against a known truth: docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="planes",
    data=Folder(path=Path("planes"), normalise="anscombe", group_regex=r"v\d+", allow_blank=True),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2),
    weighting=SNRPlusOne(),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=3000,
)
