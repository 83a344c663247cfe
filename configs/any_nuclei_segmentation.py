"""Segmentation of fluorescent nuclei of many microscopes: the signed distance of instances, given the image.

Every image is normalised by its own grey levels and resampled to nuclei of 20 pixels; patches are resized, blurred, made
noisy, unevenly lit and inverted at random.

data    BBBC039 (CC0): `--data.parts.0.path FOLDER`; fluorescence images of BBBC038 (CC0): `--data.parts.1.path FOLDER`. Both
        hold {train,dev}/{images,masks}
device  two CPU cores
time    12,000 steps of 16: about three hours
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.augment import Blur, CameraNoise, Gamma, Inverted, UnevenLight
from jaxdiff.data.config import BBBC039
from jaxdiff.data.mixed import Mixed
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Segmentation
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.split_folders import SplitFolders
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="any_nuclei_segmentation",
    data=Mixed(
        parts=(BBBC039(path=Path("data/bbbc039")), SplitFolders(path=Path("data/dsb2018"))),
        weights=(1.0, 2.0),
    ),
    pairs=Segmentation(
        per_image=PerImage(),
        size=ObjectSize(diameter=20.0, factors=(0.7, 1.4)),
        augmentation=(
            Blur(sigmas=(0.3, 1.5), chance=0.3),
            Gamma(powers=(0.6, 1.6), chance=0.5),
            UnevenLight(light=0.5, haze=0.1, chance=0.3),
            CameraNoise(photons=(15.0, 500.0), chance=0.4),
            Inverted(chance=0.05),
        ),
    ),
    patch=(96, 96),
    network=UNet(width=64, multipliers=(1, 2, 2), blocks=1, attention=(False,) * 3, patch_size=4, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=12000,
)
