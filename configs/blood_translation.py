"""Colour from one wavelength: blood smears (BCCD, MIT) given their green channel, as a bridge between the two.

data    pairs of PNG files, written by `python -m benchmarks.tasks smears`: `--data.path FOLDER/fit/colour`,
        `--data.inputs FOLDER/fit/green`
device  two CPU cores
time    1,500 steps of 16: about 8 minutes on one core
result  docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.data.pairs import Parallel
from jaxdiff.nn import UNet
from jaxdiff.process.schedules import BrownianBridge
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

config = TrainConfig(
    name="blood_translation",
    data=Folder(
        path=Path("data/smears/fit/colour"),
        inputs=Path("data/smears/fit/green"),
        axes="YXS",
        input_axes="YX",
        validation=0.0,
        normalise="linear",
    ),
    pairs=Parallel("translate"),
    schedule=BrownianBridge(),
    patch=(64, 64),
    network=UNet(width=48, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
    weighting=SNRPlusOne(),
    drop_condition=0.0,
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=16,
    steps=1500,
)
