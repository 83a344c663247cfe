"""A set that `jaxdiff prepare` made: slides in tiles, or more images than memory holds.

data    `--data.name NAME --data.data-dir FOLDER`, what `jaxdiff prepare IMAGES --out FOLDER --name NAME --tile 512 512` made
device  GPUs or TPU chips, on one host or several (docs/tpu.md): `--fsdp 8` cuts the parameters among eight
time    100,000 steps of 256 patches; not measured yet
result  yours: sheets of samples appear in runs/prepared/samples, and `jd.load("runs/prepared", length=0.08)` gives an
        average of any length after the run
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Tfds
from jaxdiff.nn import UNet
from jaxdiff.training import PowerEMA
from jaxdiff.training.ema import EMA
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="prepared",
    data=Tfds(name="slides", data_dir=Path("prepared")),
    patch=(128, 128),
    network=UNet(width=128, multipliers=(1, 2, 2), attention=(False, False, True), patch_size=2, dtype="bfloat16"),
    optimizer=AdamW(learning_rate=3e-4, warmup=1000),
    ema=EMA(decay=0.9995),
    power_ema=PowerEMA(every=2000),
    batch_size=256,
    steps=100_000,
)
