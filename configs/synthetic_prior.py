"""The built-in microscope without its noise, as a prior for restoration with a known truth.

data    synthetic
device  two CPU cores
time    3,000 steps of 16: 20 minutes on one core
result  deblurs with a known truth: docs/evidence.md
"""

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Synthetic
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="synthetic_prior",
    data=Synthetic(num=2048, normalise="anscombe", pairs=True),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2),
    weighting=SNRPlusOne(),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=3000,
)
