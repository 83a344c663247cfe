"""Denoising on the built-in microscope, whose images without noise are known: the image behind one camera recording.

data    2,048 fields of the synthetic microscope, rendered at the start
device  two CPU cores
time    1,200 steps of 16: about 8 minutes
result  spectrum and resolution against the noise-free truth: docs/evidence.md
"""

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Synthetic
from jaxdiff.data.pairs import Parallel
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="synthetic_denoising",
    data=Synthetic(num=2048, pairs=True, normalise="anscombe"),
    pairs=Parallel(task="denoise"),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=1200,
)
