"""Blood cells by class, for classification: windows of BCCD (MIT), written by `python -m benchmarks.tasks blood`.

data    32 x 32 RGB images, one sub-folder a class: `--data.path FOLDER`
device  two CPU cores
time    1,500 steps of 32: about 5 minutes
result  docs/evidence.md
"""

from pathlib import Path

from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.nn import UNet
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="blood_cells",
    data=Folder(path=Path("data/blood"), axes="YXS", classes=True, validation=0.0, normalise="linear"),
    patch=(32, 32),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, num_classes=3),
    optimizer=AdamW(learning_rate=1e-3, warmup=100),
    batch_size=32,
    steps=1500,
)
