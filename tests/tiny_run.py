"""A run folder as training leaves it, of a small network with random weights: no training, a second to make."""

from pathlib import Path

import jax
import numpy as np
import optax

import jaxdiff as jd
from jaxdiff.data.dataset import Dataset
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.durable import write_json
from jaxdiff.training.batch import to_batch
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe

SHAPE = (8, 8, 1)
NETWORK = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(True,), head_size=8, num_classes=3)
NORMALISER = Normaliser("asinh", (200.0,), (90.0,), (0.8,), (0.9,))
INFO = DataInfo(
    channel_names=("DAPI",), pixel_size={"Y": 0.65, "X": 0.65}, unit="µm", class_names=("round", "long", "bright")
)


def tiny_run(folder: Path, step: int = 7, data: Dataset | None = None) -> Path:
    """The folder of a run whose images differ from each other, and by class; or of a conditional one, on `data`'s pairs."""
    network, info, normaliser, pairing = NETWORK, INFO, NORMALISER, None
    batch = {"image": np.zeros((1, *SHAPE)), "cond": {"label": np.zeros(1, np.int32)}}
    if data is not None:
        info, normaliser, pairing = data.info, data.normaliser, data.pairing
        channels = pairing.inputs.info.channels
        network = NETWORK.clone(num_classes=0, image_channels=channels)
        loaded = {name: np.zeros((1, *SHAPE[:-1], c)) for name, c in (("image", info.channels), ("input", channels))}
        batch = to_batch(loaded, network)
    pairs = None if pairing is None else pairing.pairs
    config = TrainConfig(
        name=folder.name, out=str(folder.parent), patch=SHAPE[:-1], network=network, pairs=pairs, steps=step
    )
    shapes = jd.TrainState.shapes(jax.random.key(0), network, optax.sgd(0.1), batch)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state.replace(step=np.int32(step)), {"step": step}, wait=True)
    write_json(folder / "run.json", describe(config, info, normaliser, pairing))
    return folder
