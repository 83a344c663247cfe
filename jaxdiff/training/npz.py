"""Named arrays in one zip file, which reading never executes."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.durable import write_bytes


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], dtype: str, *, compressed: bool = False) -> None:
    """Arrays of floats as `dtype`, others as they are. Raises ValueError for one that is beyond the range of `dtype`."""
    found = {}
    for name, value in arrays.items():
        with np.errstate(over="ignore"):
            found[name] = value.astype(dtype) if value.dtype.kind == "f" else value
        if found[name].dtype.kind == "f" and not np.isfinite(found[name]).all():
            raise ValueError(f"got {name} up to {np.abs(value).max():g}; expected what {dtype} holds; to fix: float32")
    data = io.BytesIO()
    save: Any = np.savez_compressed if compressed else np.savez
    save(data, **found)
    write_bytes(path, data.getvalue(), path.with_name(f".{path.name}.partial"))


def read_npz(path: Path, *only: str) -> dict[str, np.ndarray]:
    """The arrays, or `only` some. Raises ValueError, naming the file, where it is damaged or no such file."""
    try:
        # np.load would take a lone .npy, or anything pickled, for granted; a zip of arrays is all that is written here.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in only or file.files}
        if other := [name for name, array in arrays.items() if array.dtype.kind not in "fiu"]:
            raise ValueError(f"{other[0]} holds no numbers")
        return arrays
    except (OSError, EOFError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"got {path}, which cannot be read ({error}); expected a whole file; to fix: copy it again"
        ) from error


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{"params": {"Dense_0": {"kernel": ...}}} of names like "params/Dense_0/kernel"; floats as float32."""
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, leaf = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
        place[leaf] = value.astype(np.float32)
    return tree
