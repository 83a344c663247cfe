"""Large images out: OME-Zarr, chunk by chunk, with axes, pixel size, channel names and dtype, in the data's own units.

OME-NGFF 0.5: a Zarr v3 group with one level, the array `0` of axes C (Z) Y X, zstd. Viewers read what they show, no more.
"""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.write import as_dtype, check_one_image
from jaxdiff.data.info import DataInfo
from jaxdiff.durable import write_json

CHUNK = {"C": 1, "Z": 16, "Y": 256, "X": 256}
UNITS = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "Å": "angstrom"}


def write_ome_zarr(path: str | Path, array: ArrayLike, info: DataInfo, dtype: str | None = None) -> int:
    """Writes one image (*spatial, C) in data units as a folder NAME.ome.zarr; returns how many values did not fit the dtype.

    dtype, rounding and what is counted are those of `jaxdiff.data.files.write.write_image`. A row of chunks at a time is
    converted and written. The folder appears whole or not at all.
    Raises DataError for an array that is not of `info`'s axes and channels, a name not ending in .ome.zarr, and a
    folder that exists.
    """
    path, array = Path(path), np.asarray(array)
    dtype = info.dtype if dtype is None else dtype
    if not path.name.endswith(".ome.zarr"):
        raise DataError(f"{path}", "a name ending in .ome.zarr", f"write {path.name.split('.')[0]}.ome.zarr")
    check_one_image(array, info)
    if path.exists():
        raise DataError(f"{path}, which exists", "a new folder", "choose another")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        saturated = _write_array(partial / "0", np.moveaxis(array, -1, 0), "C" + info.spatial, dtype)
        write_json(
            partial / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": _attributes(path, info)}
        )
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return saturated


def _write_array(path: Path, values: np.ndarray, axes: str, dtype: str) -> int:
    chunk = [min(CHUNK[axis], n) for axis, n in zip(axes, values.shape)]
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path)},
        "metadata": {
            "shape": list(values.shape),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "codecs": [{"name": "zstd", "configuration": {"level": 1}}],
            "dimension_names": list(axes.lower()),
        },
    }
    array: Any = ts.open(ts.Spec(spec), create=True).result()
    saturated = 0
    counts = [math.ceil(n / c) for n, c in zip(values.shape[:-1], chunk)]
    for place in np.ndindex(*counts):
        rows = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(place, chunk, values.shape))
        part, lost = as_dtype(values[rows], dtype)
        array[rows].write(np.ascontiguousarray(part)).result()
        saturated += lost
    return saturated


def _attributes(path: Path, info: DataInfo) -> dict[str, Any]:
    unit = UNITS.get(info.unit or "µm")
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    has_size = {axis: size is not None and unit is not None for axis, size in info.pixel_size.items()}
    axes += [
        {"name": a.lower(), "type": "space", **({"unit": unit} if unit is not None and has_size[a] else {})}
        for a in info.spatial
    ]
    scale = [1.0, *(float(info.pixel_size[a] or 1.0) for a in info.spatial)]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    name = path.name.removesuffix(".ome.zarr")
    channels = [{"label": label, "active": True} for label in info.channel_names]
    return {
        "ome": {
            "version": "0.5",
            "multiscales": [{"name": name, "axes": axes, "datasets": [level]}],
            "omero": {"channels": channels},
        },
        "jaxdiff": {
            "synthetic": info.synthetic,
            "unknown_pixel_size": [a.lower() for a in info.spatial if not has_size[a]],
        },
    }
