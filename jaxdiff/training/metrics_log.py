"""Metrics of a run: rows of metrics.jsonl and TensorBoard curves, fetched from the device behind the running steps."""

import collections
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from jaxdiff.training.loss import binned

LAG = 2


class Averager:
    """Means of the metrics since the last row; a step's numbers are fetched `LAG` steps later, when they are there."""

    def __init__(self):
        self._pending: collections.deque = collections.deque()
        self._fetched: list[dict[str, np.ndarray]] = []

    def push(self, metrics: dict[str, Any]) -> dict[str, np.ndarray] | None:
        """Take in the metrics of one step; returns those of an earlier one, on the host."""
        self._pending.append(metrics)
        return self._fetch() if len(self._pending) > LAG else None

    def _fetch(self) -> dict[str, np.ndarray]:
        self._fetched.append(jax.device_get(self._pending.popleft()))
        return self._fetched[-1]

    def take(self) -> dict[str, float]:
        """The means of all steps so far, as a flat row; empties the window. Waits for the running step."""
        while self._pending:
            self._fetch()
        window, self._fetched = self._fetched, []
        if not window:
            return {}
        applied = [m for m in window if m["skipped_in_row"] == 0]
        row = {name: float(window[-1][name]) for name in ("skipped", "skipped_in_row")}
        if applied:
            means = {k: np.mean([m[k] for m in applied], axis=0) for k in applied[0] if k not in row}
            row |= binned(means) | {k: float(v) for k, v in means.items() if np.ndim(v) == 0}
        return row


class MetricsLog:
    """Writes rows of one run; a resumed run continues behind its checkpoint, without doubled rows."""

    def __init__(self, folder: Path, step: int):
        """`step`: that of the restored checkpoint; later rows are dropped, since their steps are taken again."""
        self.path = folder / "metrics.jsonl"
        truncate(self.path, step)
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, row: dict[str, float]) -> None:
        """One row: {"step": ..., name: number, ...}; numbers that are not finite are written as null."""
        finite = {name: float(f"{value:.7g}") if np.isfinite(value) else None for name, value in row.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        for name, value in row.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """An 8-bit (y, x, 3) image for TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()


def truncate(path: Path, step: int) -> None:
    """Keeps the whole rows up to `step`; a row that a dying process left half-written goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            continue
        if row["step"] <= step:
            kept.append(line + "\n")
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)
