"""Denoising of fluorescent nuclei of many microscopes: the clean image, given one of 5 to 200 photons at its own peak.

Gain, offset and exposure are those of each image: it is on its own grey scale, and comes back on it.

data    BBBC039 (CC0): `--data.parts.0.path FOLDER`; fluorescence images of BBBC038 (CC0): `--data.parts.1.path FOLDER`. Both
        hold {train,dev}/{images,masks}
device  two CPU cores
time    6,000 steps of 16: about two hours
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.augment import Blur, Gamma, UnevenLight
from jaxdiff.data.config import BBBC039
from jaxdiff.data.mixed import Mixed
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Denoising
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.split_folders import SplitFolders
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="any_nuclei_denoising",
    data=Mixed(
        parts=(BBBC039(path=Path("data/bbbc039")), SplitFolders(path=Path("data/dsb2018"))),
        weights=(1.0, 1.0),
    ),
    pairs=Denoising(
        photons=(5.0, 200.0),
        per_image=PerImage(),
        size=ObjectSize(factors=(0.6, 1.6)),
        augmentation=(
            Blur(sigmas=(0.3, 1.5), chance=0.2),
            Gamma(powers=(0.7, 1.4), chance=0.3),
            UnevenLight(chance=0.2),
        ),
    ),
    patch=(64, 64),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=6000,
)
