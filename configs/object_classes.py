"""Segmentation of several classes of objects: their signed distance and a channel for each class, given the image.

data    your own: images, and masks in a folder for each class, `--data.path images --data.masks masks`; for a table or values
        in place of the folders see docs/data.md. `--pairs.classes nucleus debris` names the classes
device  two CPU cores for 96 x 96; one GPU for more
time    60 minutes of training, by wall clock: `--minutes 240` trains longer
result  yours; four classes of the synthetic microscope are measured in docs/tasks.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.data.pairs import Segmentation
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="object_classes",
    data=Folder(path=Path("images"), masks=Path("masks"), class_folders=True),
    pairs=Segmentation(classes=("nucleus", "debris")),
    patch=(96, 96),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=4, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    minutes=60,
)
