"""What a bulk run is to make, and the part of it that decides every byte: the request."""

import hashlib
import importlib.metadata
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from jaxdiff.data.info import DataInfo
from jaxdiff.data.shown.picture import sheet
from jaxdiff.guidance import Guidance
from jaxdiff.model import Model
from jaxdiff.training.leaves import checksums

Format = Literal["zarr", "array_record"]
SHEET, SHOWN = "sheet.png", 64
"""The picture of a run's first images, and how many there are on it at most."""


@dataclass(frozen=True)
class Job:
    """`num` images of a model into the folder `out`. The same job in the same folder continues it."""

    model: Model
    num: int
    out: Path
    solver: Any
    grid: np.ndarray
    seed: int = 0
    cond: PyTree = None
    """From `model.condition(num, …)`, or None."""
    guidance: Guidance = field(default_factory=Guidance)
    format: Format = "zarr"
    dtype: str | None = None
    """None: the data's, rounded; values beyond its range become its end and are counted."""
    shard: int | None = None
    """Images in a file; None: 64 to 128 MB, or ten minutes' work."""
    batch: int | None = None
    """Images in one program on a device; None: as many as fit and are of use."""
    source: tuple[tuple[str, Any], ...] = ()
    """What is known of the model's origin: names and JSON values, such as ("checkpoint", 400)."""
    process: int = 0
    """This process, of `processes`, each of which makes its own shards on its own devices."""
    processes: int = 1
    verify: bool = False
    """Checksums of all finished shards first, instead of their sizes only."""
    command: str = "the same call"
    """What continues the run, for messages."""

    def __post_init__(self):
        object.__setattr__(self, "cond", jax.tree.map(np.asarray, self.cond))  # cut into micro-batches on the host

    @property
    def info(self) -> DataInfo:
        """What is written in the files about the images."""
        return self.model.info.replace(synthetic=True, dtype=self.dtype or self.model.info.dtype)

    @property
    def labels(self) -> np.ndarray | None:
        """(num,) int32, or None."""
        return None if self.cond is None else np.asarray(self.cond["label"], np.int32)

    def draw_sheet(self, images: np.ndarray) -> None:
        """Draws the first finite images, in data units and dtype, on one picture in the folder."""
        sheet(self.model.normaliser.forward(images[:SHOWN]), self.out / SHEET)  # its map shows dim and bright alike

    def cond_of(self, first: int, num: int, size: int) -> PyTree:
        """Condition of `num` images from `first` on, NumPy, repeated at its end to `size` images."""
        rows = np.minimum(first + np.arange(size), first + num - 1)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], self.cond)

    def request(self) -> dict[str, Any]:
        """JSON values on which the images depend, besides micro-batch, versions and device."""
        arrays, static = eqx.partition(self.solver, eqx.is_array_like)
        network = eqx.filter(self.model.denoise, eqx.is_array_like, inverse=True)
        named = {name: np.asarray(leaf).tolist() for name, leaf in _leaves(arrays).items()}
        values = {
            **dict(self.source),
            "network": _structure(network),
            "parameters": parameters_checksum(self.model),
            "normaliser": self.model.normaliser.to_json(),
            "num": self.num,
            "seed": self.seed,
            "solver": {
                "class": f"{type(self.solver).__module__}.{type(self.solver).__qualname__}",
                "options": named if len(json.dumps(named)) < 4000 else _digest(_leaves(arrays)),
                "structure": _structure(static),
            },
            "grid": np.asarray(self.grid, np.float64).tolist(),
            "guidance": self.guidance._asdict(),
            "labels": _rule(self.labels),
            "shape": list(self.model.shape),
            "dtype": self.info.dtype,
            "format": self.format,
        }
        return json.loads(json.dumps(values))  # as it is read back


def parameters_checksum(model: Model) -> str:
    """SHA-256 of the parameters that a model denoises with: a run of the same name may have been trained anew."""
    return _digest(_leaves(model.denoise))


def numeric_versions() -> dict[str, str]:
    """Of what the last digits of the images may depend on."""
    return {name: importlib.metadata.version(name) for name in ("jaxdiff", "jax", "jaxlib", "diffrax")}


def _structure(tree: PyTree) -> int:
    """CRC-32 of all that is not a number, such as a network's layers and a solver's order."""
    text = str(jax.tree.structure(tree))
    return zlib.crc32(re.sub(r" at 0x[0-9a-f]+", "", text).encode())  # addresses differ between processes


def _leaves(tree: PyTree) -> dict[str, Any]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}
    return {name: leaf for name, leaf in named.items() if eqx.is_array_like(leaf)}


def _digest(leaves: dict[str, Any]) -> str:
    """SHA-256 of the names and CRC-32s of arrays."""
    crcs = checksums({name: np.asarray(leaf) for name, leaf in leaves.items()})
    return hashlib.sha256(json.dumps(crcs, sort_keys=True).encode()).hexdigest()


def _rule(labels: np.ndarray | None) -> Any:
    """Classes in words where they follow a rule; a checksum where they are anybody's choice."""
    if labels is None:
        return None
    if (labels == labels[0]).all():
        return int(labels[0])
    classes = int(labels.max()) + 1
    if np.array_equal(labels, np.arange(len(labels)) % classes):
        return f"0 to {classes - 1} in turn"
    return {"crc32": zlib.crc32(labels.tobytes())}
