"""Nuclei of BBBC039, 64 x 64 pixels, by a transformer of 256 tokens.

data    BBBC039 (CC0), 520 x 696 fields: `--data.path FOLDER`, or `--data.download` to fetch it into data/bbbc039
device  one GPU, or a TPU chip, with --network.dtype bfloat16; on two CPU cores --network.patch-size 8 (64 tokens)
time    not measured yet
result  not measured yet; bbbc039_64.py is the UNet on the same images
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import BBBC039
from jaxdiff.nn import DiT
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="bbbc039_64_dit",
    data=BBBC039(path=Path("data/bbbc039")),
    patch=(64, 64),
    network=DiT.S(patch_size=4),
    optimizer=AdamW(learning_rate=3e-4, warmup=250),
    batch_size=32,
    steps=2500,
)
