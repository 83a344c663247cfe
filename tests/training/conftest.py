"""Shared by the training tests: tiny runs on a folder of small TIFFs, in this process or in a child."""

import os
import socket

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from jaxdiff.data.config import Folder
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import TrainConfig


class Tiny(nn.Module):
    """A network that compiles at once: pixel by pixel, with dropout."""

    width: int = 8
    depth: int = 1
    num_classes: int = 0
    dropout: float = 0.1

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        noise = jnp.broadcast_to(lam.reshape(-1, *[1] * (x.ndim - 1)), (*x.shape[:-1], 1))
        h = jnp.concatenate([x, noise], -1)
        for _ in range(self.depth):
            h = nn.Dropout(self.dropout, deterministic=not train)(nn.gelu(nn.Dense(self.width)(h)))
        return nn.Dense(x.shape[-1], name="last")(h)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One folder of compiled programs for all runs of the session, here and in children."""
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def child_env(cache):
    """Environment of a child process on the CPU."""

    def make(**extra):
        shared = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        return {**os.environ, "JAX_PLATFORMS": "cpu", **shared, **extra}

    return make


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Sixteen uint16 images of 12 x 16 pixels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(16):
        image = rng.gamma(2.0, 200.0, (12, 16)).astype(np.uint16)
        tifffile.imwrite(folder / f"{i:02d}.tif", image, metadata={"axes": "YX"})
    return folder


@pytest.fixture(scope="module")
def compiled_once(cache):
    """The same for this process, while a module runs many equal programs."""
    options = {"jax_compilation_cache_dir": cache, "jax_persistent_cache_min_compile_time_secs": 0}
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def config(tmp_path, image_folder):
    """A function that makes the config of a tiny run under this test's folder."""

    def make(**fields) -> TrainConfig:
        tiny = {
            "name": "run",
            "out": str(tmp_path / "runs"),
            "data": Folder(path=image_folder),
            "patch": (8, 8),
            "network": Tiny(),
            "batch_size": 4,
            "steps": 6,
            "log_every": 2,
            "previews": 0,
            "validation_images": 0,
            "checkpoint": Every(),
        }
        return TrainConfig(**{**tiny, **fields})

    return make
