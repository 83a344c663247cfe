"""Sheets of samples while a run trains: what the averaged parameters make of the same noise, every time."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray
from PIL import Image

from jaxdiff.data.shown.picture import sheet
from jaxdiff.denoiser import bind
from jaxdiff.predictions import PredictionKind
from jaxdiff.process import grids
from jaxdiff.process.schedules import Schedule
from jaxdiff.sampling import sample
from jaxdiff.solvers import DPMpp

CALLS = 20
SAMPLES = "samples"


def sheet_path(folder: Path, step: int) -> Path:
    """The sheet of a step in a run folder."""
    return folder / SAMPLES / f"step_{step:08d}.png"


class Preview:
    """`preview(params, step) -> path` of `samples/step_00000500.png`, on the normaliser's grey scale; one device.

    DPM-Solver++(2M) with 20 calls. Images of one sheet share black and white with `samples/real.png`, which shows
    held-out images; conditions are those of the same held-out images.
    """

    def __init__(
        self,
        folder: Path,
        key: PRNGKeyArray,
        network: Any,
        predicts: str | PredictionKind,
        sigma_data: float,
        schedule: Schedule,
        real: dict[str, Any],
    ):
        """`real`: held-out examples as the loss takes them, one for each image of the sheet."""
        self._folder, self._key = folder, key
        self._bind = lambda params: bind(network, params, predicts, sigma_data=sigma_data)
        self._grid = grids.uniform_lam(schedule, CALLS)
        self._cond, (self._num, *self._shape) = real.get("cond"), real["image"].shape
        images = np.asarray(real["image"])
        self._range = np.percentile(images.reshape(-1, images.shape[-1]), (0.1, 99.9), axis=0)
        self._sheet(images, folder / SAMPLES / "real.png")

    def __call__(self, params: Any, step: int) -> Path:
        out = sample(
            self._key,
            self._bind(params),
            shape=tuple(self._shape),
            num=self._num,
            solver=DPMpp(2),
            grid=self._grid,
            cond=self._cond,
        )
        return self._sheet(np.asarray(out.images), sheet_path(self._folder, step))

    def _sheet(self, images: np.ndarray, path: Path) -> Path:
        return sheet(images, path, low=self._range[0], high=self._range[1])


def as_array(path: Path) -> np.ndarray:
    """The pixels (y, x, 3) of a written sheet."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
