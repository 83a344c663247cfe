"""A run folder as training leaves it, of a small network with random weights: no training, a second to make."""

from pathlib import Path

import jax
import numpy as np
import optax

import jaxdiff as jd
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.durable import write_json
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe

SHAPE = (8, 8, 1)
NETWORK = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(True,), head_size=8, num_classes=3)
NORMALISER = Normaliser("asinh", (200.0,), (90.0,), (0.8,), (0.9,))
INFO = DataInfo(
    channel_names=("DAPI",), pixel_size={"Y": 0.65, "X": 0.65}, unit="µm", class_names=("round", "long", "bright")
)


def tiny_run(folder: Path, step: int = 7) -> Path:
    """The folder of a run whose images differ from each other, and by class."""
    config = TrainConfig(name=folder.name, out=str(folder.parent), patch=SHAPE[:-1], network=NETWORK, steps=step)
    batch = {"image": np.zeros((1, *SHAPE)), "cond": {"label": np.zeros(1, np.int32)}}
    shapes = jd.TrainState.shapes(jax.random.key(0), NETWORK, optax.sgd(0.1), batch)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state.replace(step=np.int32(step)), {"step": step}, wait=True)
    write_json(folder / "run.json", describe(config, INFO, NORMALISER))
    return folder
