"""A trained network as two small files, for shipping: run.json, and params.npz with the averaged parameters."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.durable import write_bytes, write_json
from jaxdiff.training.restore import restore_step
from jaxdiff.training.run_folder import read_run

NAME = "params.npz"


def pack(run: str | Path, out: str | Path, step: int | None = None, dtype: str = "float16") -> Path:
    """Writes the averaged parameters of a run in `dtype`, and its description; returns `out`, which `jd.load` reads.

    Raises ValueError where `out` is not empty or a parameter is beyond the range of `dtype`.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"got {out}, which is not empty; expected a new folder; to fix: another --out")
    found, variables = restore_step(run, step)
    stored = {**read_run(run), "step": found}
    stored["config"] = _without_folders(stored["config"])
    arrays = {}
    for name, value in _flat(variables).items():
        with np.errstate(over="ignore"):
            arrays[name] = value.astype(dtype)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"got {name} up to {np.abs(value).max():g}; expected what {dtype} holds; to fix: float32")
    out.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    write_bytes(out / NAME, data.getvalue(), out / f".{NAME}.partial")
    write_json(out / "run.json", stored)
    return out


def is_packed(folder: str | Path) -> bool:
    """Whether `pack` wrote this folder."""
    return (Path(folder) / NAME).is_file()


def unpack(folder: str | Path) -> dict[str, Any]:
    """The network's variables in a folder that `pack` wrote, float32. Raises ValueError for a damaged file."""
    path = Path(folder) / NAME
    try:
        # np.load would take a lone .npy, or anything pickled, for granted; a zip of arrays is all that is written here.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"got {path}, which cannot be read ({error}); expected a whole file; to fix: copy it again"
        ) from error
    variables: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, leaf = name.split("/")
        place = variables
        for part in folders:
            place = place.setdefault(part, {})
        place[leaf] = value
    return variables


def _without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """A config that tells the names of folders, and not where they were on the machine of training."""
    data = dict(config["data"])
    for name in ("path", "masks", "inputs", "data_dir"):
        if isinstance(data.get(name), str):
            data[name] = Path(data[name]).name
    return {**config, "data": data, "out": "runs", "init_from": None}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    found = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return found
