"""Labelled generation of nuclei in two calls: the shipped generator, which needs twenty, learns the mean of D over a step.

data    BBBC039 (CC0), 520 x 696 fields with masks: `--data.path FOLDER`, or `--data.download` to fetch it
device  two CPU cores
time    2,500 steps of 16, each about three times one of ordinary training
result  good at one call and not yet at two: docs/decisions.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.data.pairs import LabelledGeneration
from jaxdiff.nn import UNet
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="nuclei_generation_few_calls",
    data=BBBC039(path=Path("data/bbbc039")),
    pairs=LabelledGeneration(),
    patch=(64, 64),
    network=UNet(
        width=64,
        multipliers=(1, 2),
        blocks=1,
        attention=(False, False),
        patch_size=4,
        image_channels=1,
        reads_span=True,
    ),
    loss=MeanDenoising(teacher="nuclei_generation", warmup=500),
    init_from="nuclei_generation",
    optimizer=AdamW(learning_rate=5e-4, warmup=100),
    batch_size=16,
    steps=2500,
)
