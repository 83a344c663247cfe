"""A small model that needs no training, and jobs of it; also used by child processes."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from jaxdiff.bulk import Job
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.model import Model

CLASSES, BATCH, SHARD = 3, 4, 8
GRID = np.linspace(-4.0, 2.0, 3)
NORMALISER = Normaliser("asinh", (200.0,), (90.0,), (0.8,), (0.9,))
INFO = DataInfo(
    channel_names=("DAPI",), pixel_size={"Y": 0.65, "X": 0.65}, unit="µm", class_names=("round", "long", "bright")
)


class Small(nn.Module):
    """A network that compiles at once: neighbouring pixels, λ and class in, a matrix product in the middle."""

    num_classes: int = CLASSES

    @nn.compact
    def __call__(self, x, lam, cond):
        about = jnp.concatenate([lam[:, None], jax.nn.one_hot(cond["label"], self.num_classes)], -1)[:, None, None]
        around = [jnp.roll(x, 1, axis) for axis in (1, 2)]
        h = jnp.concatenate([x, *around, jnp.broadcast_to(about, (*x.shape[:-1], about.shape[-1]))], -1)
        return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(16)(h)))


def small_model() -> Model:
    """Random parameters: images that differ from each other, by class too."""
    network: Any = Small()
    example = (jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), {"label": jnp.zeros(1, jnp.int32)})
    params = jax.jit(network.init)(jax.random.key(0), *example)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    params = jax.tree.unflatten(tree, [p + 0.1 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys)])
    return Model(
        denoise=jd.bind(network, params),
        network=network,
        schedule=jd.Cosine(),
        shape=(8, 8, 1),
        normaliser=NORMALISER,
        info=INFO,
    )


def small_job(model: Model, out: Path, num: int = 27, **options) -> Job:
    """`num` images, 8 in a file, 4 at once, by an ancestral sampler."""
    fixed = {"solver": jd.DPMpp(order=2, eta=1.0), "grid": GRID, "batch": BATCH, "shard": SHARD}
    cond = model.condition(num, np.arange(num) % CLASSES)
    return Job(model=model, num=num, out=Path(out), cond=cond, **{**fixed, **options})


def expected_images(model: Model, num: int = 27, batch: int = BATCH) -> np.ndarray:
    """What `model.sample` gives, float32 in data units."""
    cond = model.condition(num, np.arange(num) % CLASSES)
    solver = jd.DPMpp(order=2, eta=1.0)
    return np.asarray(model.sample(jax.random.key(0), num, solver=solver, grid=GRID, cond=cond, batch=batch).images)


def rounded(images: np.ndarray) -> np.ndarray:
    """To the data's dtype."""
    return np.clip(np.rint(images), 0, 65535).astype(np.uint16)


def data_files(out: Path) -> dict[str, bytes]:
    """All but what tells of a run instead of images: the manifest, the records of its shards, the lock."""
    files = {str(path.relative_to(out)): path for path in Path(out).rglob("*") if path.is_file()}
    told = ("manifest.json", "shards/", "sections/", ".lock")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(told)}
