"""Sheets of samples while a run trains: what the averaged parameters make of the same noise, every time."""

from pathlib import Path
from typing import Any

import diffrax
import numpy as np
from jaxtyping import PRNGKeyArray
from PIL import Image

from jaxdiff.data.shown.picture import sheet
from jaxdiff.denoiser import bind
from jaxdiff.nn.condition import size_of
from jaxdiff.parts import at_place
from jaxdiff.predictions import PredictionKind
from jaxdiff.process import grids
from jaxdiff.process.schedules import Schedule
from jaxdiff.sampling import sample
from jaxdiff.solvers import DPMpp, MeanFlow

CALLS, FEW = 20, 2
"""Of the default grid, and of that of means over steps."""
SAMPLES = "samples"


def sheet_path(folder: Path, step: int) -> Path:
    """The sheet of a step in a run folder."""
    return folder / SAMPLES / f"step_{step:08d}.png"


def sheet_solver(solver: Any, network: Any) -> diffrax.AbstractSolver:
    """The solver of the sheets: `TrainConfig.preview_solver`, imported where it is the name of a place; none: as of a model.

    Raises ValueError for what is no solver, or needs more than its class's defaults, and for one that asks for means over
    steps, where the network is not told them.
    """
    few = size_of(network, "reads_span") > 0
    if solver is None:
        return MeanFlow() if few else DPMpp(2)
    if isinstance(solver, str):
        cls, place = at_place(solver, "preview_solver"), solver
        try:
            solver = cls()
        except TypeError as error:
            raise ValueError(
                f"got preview_solver {place!r}, which cannot be made without options ({error}); expected a class with "
                "defaults; to fix: an object in the config file, preview_solver=YourSolver(…)"
            ) from error
    if not isinstance(solver, diffrax.AbstractSolver):
        raise ValueError(
            f"got preview_solver of type {type(solver).__name__}, no solver; expected a jd.Solver or a diffrax solver"
        )
    if getattr(solver, "reads_span", False) and not few:
        raise ValueError(
            f"got preview_solver {type(solver).__name__} for a {type(network).__name__} that is not told how far a step "
            "leads; expected a solver that asks for D; to fix: leave preview_solver out"
        )
    return solver


class Preview:
    """`preview(params, step) -> path` of `samples/step_00000500.png`, on the normaliser's grey scale; one device.

    20 calls on the default grid (2 of `jd.MeanFlow`), or on the solver's own. Images of one sheet share black and white with
    `samples/real.png`, which shows held-out images; conditions are those of the same held-out images.
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
        solver: Any,
    ):
        """`real`: held-out examples as the loss takes them, one for each image of the sheet; solver: of `sheet_solver`."""
        self._folder, self._key = folder, key
        self._bind = lambda params: bind(network, params, predicts, sigma_data=sigma_data)
        own = getattr(solver, "grid", None)
        means = getattr(solver, "reads_span", False)
        default = grids.flow_time(schedule, FEW) if means else grids.uniform_lam(schedule, CALLS)
        self._solver, self._grid = solver, default if own is None else np.asarray(own)
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
            solver=self._solver,
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
