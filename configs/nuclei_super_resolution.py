"""Super-resolution of nuclei, trained on BBBC039: the image, given a blurred, twice coarser and noisy recording.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    1,500 steps of 16: about 10 minutes
result  docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import SuperResolution
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="nuclei_super_resolution",
    data=BBBC039(path=Path("data/bbbc039"), normalise="anscombe"),
    pairs=SuperResolution(factor=(2, 2), psf=(1.5, 1.5)),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=1500,
)
