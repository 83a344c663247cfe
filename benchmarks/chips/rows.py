"""The rows of the table: programs × networks × batches × types × slices, each traced when its turn comes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import jaxdiff as jd
from jaxdiff.chips import Target, programs
from jaxdiff.guidance.windowed import windowed
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.leaves import variable_shapes
from jaxdiff.training.loss import DenoisingLoss
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import Sigmoid

SIZE = 64
"""Pixels along each axis of what a network sees."""
CALLS = 20
"""Of a sampler; its loop's body is in the program once."""

NETWORKS: dict[str, Callable[[str], Any]] = {
    "unet-64": lambda dtype: jd.UNet(width=64, dtype=dtype),  # type: ignore[arg-type]
    "unet-128": lambda dtype: jd.UNet(width=128, dtype=dtype),  # type: ignore[arg-type]
    "dit-s": lambda dtype: jd.DiT.S(dtype=dtype),
    "dit-b": lambda dtype: jd.DiT.B(dtype=dtype),
}
"""By name, a function of the type: 64×64 pixels of one channel; UNets of patch 1 with attention at the lowest level,
transformers of patch 4, 256 tokens an image."""


@dataclass(frozen=True)
class Row:
    """One program for one slice."""

    program: str
    """One of `PROGRAMS`."""
    network: str
    dtype: str
    batch: int
    """Images a chip; of a training step too."""
    slice: str
    """Such as v5e:2x2. Calls and `train` use one chip of it, samplers and `train-fsdp` all."""

    @property
    def key(self) -> str:
        """By which it is stored."""
        return f"{self.program} {self.network} {self.dtype} {self.batch} {self.slice}"

    def trace(self, target: Target) -> jax.stages.Traced:
        """The program, traced for the slice."""
        return PROGRAMS[self.program](self, target)


def _denoiser(row: Row) -> Any:
    network = NETWORKS[row.network](row.dtype)
    return jd.bind(network, variable_shapes(network, (SIZE, SIZE, 1)), "v")


def _call(row: Row, target: Target) -> jax.stages.Traced:
    return programs.call(target, _denoiser(row), (SIZE, SIZE, 1), row.batch)


def _sample(row: Row, target: Target, pixels: int = SIZE, mesh: Mesh | None = None, denoise: Any = None) -> Any:
    solver, grid = jd.DPMpp(order=2), jd.grids.uniform_lam(jd.Cosine(), CALLS)
    denoise = _denoiser(row) if denoise is None else denoise
    return programs.sampler(target, denoise, (pixels, pixels, 1), row.batch, solver=solver, grid=grid, mesh=mesh)


def _windowed(row: Row, target: Target) -> jax.stages.Traced:
    """Images of 256×256 whose windows the devices share: one all-gather a call."""
    mesh = Mesh(np.array(target.devices).reshape(1, -1), ("data", "window"))
    denoise = windowed(_denoiser(row), SIZE, SIZE // 4, chunk=64, axis="window")
    return _sample(row, target, pixels=4 * SIZE, mesh=mesh, denoise=denoise)


def _train(row: Row, target: Target, fsdp: int = 1, devices: int | None = 1) -> jax.stages.Traced:
    size = row.batch * (devices or len(target.devices))
    batch = {"image": np.zeros((1, SIZE, SIZE, 1), np.float32)}
    loss = DenoisingLoss(lam_sampler=Stratified(jd.Cosine()), predicts="v", weighting=Sigmoid())
    network = NETWORKS[row.network](row.dtype)
    return programs.training_step(target, network, loss, AdamW().build(), batch, size=size, fsdp=fsdp, devices=devices)


def _train_fsdp(row: Row, target: Target) -> jax.stages.Traced:
    return _train(row, target, fsdp=4 if len(target.devices) <= 16 else 8, devices=None)


PROGRAMS: dict[str, Callable[[Row, Target], Any]] = {
    "call": _call,
    "sample": _sample,
    "windowed": _windowed,
    "train": _train,
    "train-fsdp": _train_fsdp,
}
"""One network call; the whole of `jd.sample`; that of 256×256 in windows; the training step on one chip; with fsdp."""
POD = {"v5e": ("v5e:4x4", "v5e:16x16"), "v6e": (), "h200": ()}
"""Slices of `train-fsdp`, by the chip that is asked for."""


def rows(
    slices: tuple[str, ...], networks: tuple[str, ...], batches: tuple[int, ...], dtypes: tuple[str, ...]
) -> list[Row]:
    """All rows, the most telling first: bfloat16 calls of all slices, then samplers, steps, pods."""
    listed: list[Row] = []
    for program in PROGRAMS:
        listed += _of(program, slices, networks, batches, dtypes)
    return listed


def _of(program: str, slices: Any, networks: Any, batches: Any, dtypes: Any) -> Iterator[Row]:
    if program == "train-fsdp":
        slices = [pod for one in slices for pod in POD.get(one.partition(":")[0], ())]
    if program == "windowed":
        batches = (1,)
    elif program != "call":
        batches = (64,)
    dtypes = dtypes if program == "call" else [dtype for dtype in dtypes if dtype == "bfloat16"]
    for dtype in dtypes:
        for batch in batches:
            for one in slices:
                for network in networks:
                    yield Row(program, network, dtype, batch, one)
