"""Images as one sharded Zarr v3 array `image`, with their classes as a second one, `label`, in `images.zarr`.

One file a shard; inside it chunks of one image, or of as many as make up about 64 KB, so that a reader fetches single
images (sharding codec; zstd after a bit shuffle; CRC-32C of every chunk and of the index). TensorStore encodes into
memory and the bytes are written here, which is how a file's checksum is known and a full disk is noticed.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from jaxdiff.bulk.shards import Filled, ShardRecord, Written
from jaxdiff.data.info import DataInfo
from jaxdiff.durable import write_bytes, write_json

GROUP = "images.zarr"
CHUNK_BYTES = 2**16


class ZarrStore:
    """`num` images of `shape` (*spatial, channels), `size` of them in a file, under `out`."""

    name = "zarr"

    def __init__(self, out: Path, num: int, size: int, shape: tuple[int, ...], info: DataInfo, classes: int):
        """`info.dtype` is what is written; `classes` is 0 for images without a label."""
        self.out, self.attributes = out, {"axes": "n" + info.axes.lower(), **_attributes(info)}
        image_bytes = math.prod(shape) * np.dtype(info.dtype).itemsize
        inner = math.gcd(size, 2 ** max(0, int(math.log2(CHUNK_BYTES / image_bytes))))
        axes = ["n", *info.axes.lower()]
        self._arrays = {
            "image": _metadata(
                (num, *shape), size, inner=inner, dtype=info.dtype, axes=axes, attributes=self.attributes
            )
        }
        if classes:
            names = {"class_names": list(info.class_names)}
            self._arrays["label"] = _metadata((num,), size, inner=size, dtype="int32", axes=["n"], attributes=names)

    @property
    def path(self) -> Path:
        """What a reader opens."""
        return self.out / GROUP

    @property
    def descriptions(self) -> list[str]:
        """Those of the group and of each array."""
        return [f"{GROUP}/zarr.json", *(f"{GROUP}/{name}/zarr.json" for name in self._arrays)]

    def files(self, index: int) -> list[str]:
        """One of each array."""
        return [f"{GROUP}/{name}/{_key(index, metadata)}" for name, metadata in self._arrays.items()]

    def prepare(self) -> None:
        """Writes what describes the arrays; the same each time."""
        self._write({"complete": False})

    def write(self, filled: Filled, aside: Path) -> tuple[list[Written], int]:
        """The shard's files, by way of the file `aside`; and 0, as no other size needs to be known."""
        values = {"image": filled.images, "label": filled.labels}
        written = []
        for name, metadata in self._arrays.items():
            path, data = self._encoded(name, metadata, filled, values[name])
            write_bytes(self.out / path, data, aside)
            written.append(Written(path, len(data), hashlib.sha256(data).hexdigest()))
        return written, 0

    def complete(self, finished: list[ShardRecord]) -> None:
        """Says in the group's attributes that all is there, and which images are not finite."""
        self._write({"complete": True, "not_finite": [i for record in finished for i in record.not_finite]})

    def first(self, record: ShardRecord, most: int) -> np.ndarray:
        """The first finite images of shard 0, at most `most`."""
        spec = {"driver": "zarr3", "kvstore": f"file://{self.path.absolute()}/image/"}
        array: Any = ts.open(ts.Spec(spec), context=ts.Context()).result()
        finite = np.setdiff1d(np.arange(record.num), record.not_finite)[:most]
        return np.asarray(array[finite].read().result())

    def _encoded(self, name: str, metadata: dict[str, Any], filled: Filled, values: Any) -> tuple[str, bytes]:
        spec = {"driver": "zarr3", "kvstore": "memory://", "metadata": metadata, "store_data_equal_to_fill_value": True}
        array: Any = ts.open(ts.Spec(spec), create=True, context=ts.Context()).result()
        first = filled.shard.first
        array[first : first + filled.shard.num].write(np.ascontiguousarray(values)).result()
        key = _key(filled.shard.index, metadata)
        return f"{GROUP}/{name}/{key}", array.kvstore.read(key.encode()).result().value

    def _write(self, state: dict[str, Any]) -> None:
        for name, metadata in self._arrays.items():
            write_json(self.path / name / "zarr.json", metadata)
        attributes = {**self.attributes, **state}
        write_json(self.path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})


def _key(index: int, metadata: dict[str, Any]) -> str:
    """The file of a shard in the folder of an array."""
    return f"c/{index}" + "/0" * (len(metadata["shape"]) - 1)


def _metadata(
    shape: tuple[int, ...], size: int, inner: int, dtype: str, axes: list[str], attributes: dict[str, Any]
) -> dict[str, Any]:
    little: Any = {"name": "bytes", "configuration": {"endian": "little"}}
    itemsize = np.dtype(dtype).itemsize
    blosc = {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": itemsize, "blocksize": 0}
    checked = {"name": "crc32c"}
    sharding = {
        "chunk_shape": [inner, *shape[1:]],
        "codecs": [little, {"name": "blosc", "configuration": blosc}, checked],
        "index_codecs": [little, checked],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [size, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "fill_value": 0.0 if np.dtype(dtype).kind == "f" else 0,
        "dimension_names": axes,
        "attributes": attributes,
    }


def _attributes(info: DataInfo) -> dict[str, Any]:
    values = {name: value for name, value in info.to_json().items() if name != "axes"}
    note = "Synthetic images, generated by jaxdiff; not recordings of a specimen."
    return json.loads(json.dumps({**values, "synthetic": True, "description": note}))
