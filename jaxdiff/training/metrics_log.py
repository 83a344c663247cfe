"""Metrics of a run: rows of metrics.jsonl and TensorBoard curves, fetched from the device behind the running steps."""

import collections
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from jaxdiff.training.loss import binned

NAME = "metrics.jsonl"
LAG = 2
OnMetrics = Callable[[int, dict[str, float]], object]
"""`on_metrics(step, {name: number})`."""
COUNTS = ("skipped", "skipped_in_row")
"""Metrics that are counts so far, and no means."""


class Averager:
    """Means of the metrics since the last row; a step's numbers are fetched `LAG` steps later, when they are there.

    The window that is open can be stored: a run that goes on from a checkpoint writes the rows of an undisturbed one.
    """

    def __init__(self, window: dict[str, Any] | None = None):
        """window: what `window` returned, to go on with."""
        self._pending: collections.deque = collections.deque()
        window = window or {"applied": 0, "sums": {}, "last": {}}
        self._applied, self._last = window["applied"], dict(window["last"])
        self._sums = {name: np.asarray(values, np.float64) for name, values in window["sums"].items()}

    def push(self, metrics: dict[str, Any]) -> dict[str, np.ndarray] | None:
        """Take in the metrics of one step; returns those of an earlier one, on the host."""
        self._pending.append(metrics)
        return self._fetch() if len(self._pending) > LAG else None

    def _fetch(self) -> dict[str, np.ndarray]:
        metrics = jax.device_get(self._pending.popleft())
        self._last = {name: float(metrics[name]) for name in COUNTS}
        if not metrics["skipped_in_row"]:
            self._applied += 1
            for name, value in metrics.items():
                if name not in COUNTS:
                    self._sums[name] = self._sums.get(name, 0.0) + np.asarray(value, np.float64)
        return metrics

    def window(self) -> dict[str, Any]:
        """JSON values: sums over the steps since the last row. Waits for the running step."""
        while self._pending:
            self._fetch()
        sums = {name: value.tolist() for name, value in self._sums.items()}
        return {"applied": self._applied, "sums": sums, "last": self._last}

    def row(self) -> dict[str, float]:
        """The means of all steps since the last row, flat. Waits for the running step."""
        self.window()
        row = dict(self._last)
        if self._applied:
            means = {name: total / self._applied for name, total in self._sums.items()}
            row |= as_row(means)
        return row

    def take(self) -> dict[str, float]:
        """`row`, and begins the next one."""
        row = self.row()
        self._sums, self._applied, self._last = {}, 0, {}
        return row


def as_row(means: dict[str, Any]) -> dict[str, float]:
    """Averaged metrics as numbers by name: errors by lam where a loss has them, entries of other arrays as NAME/INDEX."""
    by_lam = binned(means)
    own = {name: value for name, value in means.items() if not (by_lam and name in ("bin_error", "bin_share"))}
    scalars = {name: float(value) for name, value in own.items() if np.ndim(value) == 0}
    arrays = {name: np.ravel(value) for name, value in own.items() if np.ndim(value)}
    return (
        by_lam
        | scalars
        | {f"{name}/{i}": float(one) for name, values in arrays.items() for i, one in enumerate(values)}
    )


class MetricsLog:
    """Writes rows of one run; a resumed run continues behind its checkpoint, without doubled rows."""

    def __init__(self, folder: Path, step: int, on_metrics: OnMetrics | None = None):
        """`step`: that of the restored checkpoint; later rows are dropped, since their steps are taken again.

        on_metrics: called with each row, once it is written; what it raises is a warning.
        """
        self.path = folder / NAME
        truncate(self.path, step)
        self._file = self.path.open("a", encoding="utf-8")
        self._on_metrics = on_metrics
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, row: dict[str, float]) -> None:
        """One row: {"step": ..., name: number, ...}; numbers that are not finite are written as null."""
        finite = {name: float(f"{value:.7g}") if np.isfinite(value) else None for name, value in row.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        for name, value in row.items():
            self._board.add_scalar(name, value, step)
        if self._on_metrics is not None:
            try:
                self._on_metrics(step, dict(row))
            except Exception as error:
                name = getattr(self._on_metrics, "__qualname__", type(self._on_metrics).__name__)
                warnings.warn(
                    f"got {type(error).__name__} ({error}) from on_metrics {name} at step {step}; expected it to return; the "
                    "run goes on, and the row is in metrics.jsonl",
                    stacklevel=2,
                )

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """An 8-bit (y, x, 3) image for TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()


def is_measured(path: Path, step: int) -> bool:
    """Whether there is a row with the validation of a step."""
    named = (row for row, _ in _whole(path) if row["step"] == step)
    return any(name.startswith("validation/") for row in named for name in row)


def truncate(path: Path, step: int) -> None:
    """Keeps the whole rows up to `step`; a row that a dying process left half-written goes too."""
    if not path.exists():
        return
    lines = [line + "\n" for row, line in _whole(path) if row["step"] <= step]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(lines), encoding="utf-8")
    os.replace(partial, path)


def _whole(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The whole rows, and their lines."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and type(row.get("step")) is int:
            yield row, line
