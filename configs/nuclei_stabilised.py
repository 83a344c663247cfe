"""Nuclei of BBBC039 in units in which a camera's noise is even: `sample.py denoise --direct` denoises in one call with it.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it
        camera: that of the images to be denoised, here 30 photons at the bright level of BBBC039
device  two CPU cores
time    3,000 steps of 16: 20 minutes on one core
result  30 photons, one call: as good as a network trained on pairs, 0.4 dB below the best: docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import UNet
from jaxdiff.physics.camera import Camera
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="nuclei_stabilised",
    data=BBBC039(
        path=Path("data/bbbc039"), normalise="anscombe", camera=Camera(gain=41.7, offset=130.0, read_noise=2.0)
    ),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2),
    weighting=SNRPlusOne(),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=3000,
)
