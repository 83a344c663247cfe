"""A trained network as two small files, for shipping: run.json, and params.npz with the averaged parameters."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdiff.durable import write_json
from jaxdiff.lock import is_lock, only_writer
from jaxdiff.parts import Allow
from jaxdiff.training.leaves import named
from jaxdiff.training.npz import check_floats, nested, read_npz, write_npz
from jaxdiff.training.run_folder import read_run
from jaxdiff.training.snapshots import average

NAME = "params.npz"


def pack(
    run: str | Path,
    out: str | Path,
    step: int | None = None,
    dtype: str = "float16",
    *,
    length: float | None = None,
    allow: Allow = (),
) -> Path:
    """Writes the averaged parameters of a run in `dtype`, and its description; returns `out`, which `jd.load` reads.

    step, length: of the average, as for `jd.load`. allow: as there; a run with parts of a person's own is packed without it,
    and then their fields are not looked at.

    Raises ValueError where `out` is not empty, another process writes to it, or a parameter is beyond the range of `dtype`.
    """
    out = Path(out)
    with only_writer(out):
        return _packed(run, out, step=step, dtype=dtype, length=length, allow=allow)


def _packed(run: str | Path, out: Path, step: int | None, dtype: str, length: float | None, allow: Allow) -> Path:
    if not all(map(is_lock, out.iterdir())):
        raise ValueError(f"got {out}, which is not empty; expected a new folder; to fix: another --out")
    described = read_run(run, allow)
    at_step, variables = average(run, step, length=length)
    stored: dict[str, Any] = {**described, "step": at_step} | ({} if length is None else {"length": length})
    stored["config"] = _without_folders(stored["config"])
    write_npz(out / NAME, named(variables), dtype, compressed=True)
    write_json(out / "run.json", stored)
    return out


def is_packed(folder: str | Path, described: Mapping[str, Any]) -> bool:
    """Whether `pack` wrote this folder, whose description is `described`, though its parameters may be gone since."""
    return "step" in described or os.path.lexists(Path(folder) / NAME)


def unpack(folder: str | Path, like: Any = None) -> dict[str, Any]:
    """The network's variables in a folder that `pack` wrote, float32.

    like: the variables' shapes (`jaxdiff.training.leaves.variable_shapes`), compared before any is read. Raises
    FileNotFoundError where they are missing, ValueError for a damaged file and for other arrays or types of numbers, each by
    its name.
    """
    shapes = None if like is None else {name: leaf.shape for name, leaf in named(like).items()}
    path = Path(folder) / NAME
    try:
        arrays = read_npz(path, shapes=shapes)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"got {folder}, a packed model without its {NAME}; expected run.json and {NAME}; to fix: copy both again, or "
            "pack the run again"
        ) from error
    check_floats(path, arrays)
    return nested(arrays)


def _without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """A config that tells the names of folders, and not where they were on the machine of training."""
    portable = {name: _without_folder(name, config[name]) for name in ("data", "loss") if name in config}
    defaults = {"out": "runs", "init_from": None}
    return {**config, **portable, **{name: value for name, value in defaults.items() if name in config}}


def _without_folder(field: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_folder(name, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_folder(field, one) for one in value]
    if isinstance(value, str) and (field in ("path", "masks", "inputs", "data_dir") or Path(value).is_absolute()):
        return Path(value).name
    return value
