"""Your own folder of images.

data    `--data.path FOLDER` of TIFF, OME-TIFF or PNG; see docs/data.md for axes, masks, classes and splits
device  two CPU cores for 64 x 64; one GPU for more
time    60 minutes of training, by wall clock: `--minutes 240` trains longer
result  yours: sheets of samples appear in runs/folder/samples
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="folder",
    data=Folder(path=Path("images")),
    patch=(64, 64),
    network=UNet(width=64, multipliers=(1, 2), blocks=2, attention=(False, True), patch_size=4),
    optimizer=AdamW(learning_rate=6e-4, warmup=100),
    batch_size=32,
    minutes=60,
)
