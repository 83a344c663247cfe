"""An exported sampler back from its file, looked at before anything of it runs.

The program in the file is run by XLA, which cannot open files or start processes; what could leave it are calls into the
process that loads it ("custom calls"), and of these it may have only what `jax.export` itself puts there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax import export as jax_export

from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.interop.export import FORMAT, PLATFORMS, dtype_and_shape
from jaxdiff.malformed import malformed, parsed, within
from jaxdiff.nn import DiT, UNet
from jaxdiff.plain import from_plain
from jaxdiff.schema import fields
from jaxdiff.seeds import WORD, checked_seed
from jaxdiff.training.npz import read_npz, read_part
from jaxdiff.training.run_folder import check_class_names

PROGRAM, META, README = "sampler.stablehlo", "meta.json", "README.md"
LIMIT = 2**30
"""Bytes of the program, unpacked."""
CALLS = frozenset({"shape_assertion", "cu_threefry2x32_ffi", "hip_threefry2x32_ffi"})
"""Custom calls that a sampler may have: JAX's check of the number of images, and its random numbers."""
KINDS = {
    "format": int,
    "versions": dict[str, str],
    "calling_convention": int,
    "platforms": list[str],
    "arguments": dict[str, Any],
    "result": dict[str, Any],
    "calls": int,
    "grid": tuple[float, ...],
    "solver": dict[str, Any],
    "guidance": float | str,
    "network": dict[str, Any],
    "parameters": int,
    "checkpoint": int | None,
    "images": dict[str, Any],
    "normaliser": dict[str, Any],
}
"""Of meta.json, every field."""
FIX = "export the run again"


@dataclass(frozen=True)
class Sampler:
    """`sampler(seed, index[, cond])`: images (b, *spatial, channels), float32; see the README in the file."""

    program: Any
    weights: Mapping[str, jax.Array]
    meta: dict[str, Any]
    """What its meta.json says."""
    info: DataInfo
    """Of the images."""

    def __call__(self, seed: int, index: Any, cond: Mapping[str, Any] | None = None) -> jax.Array:
        arguments = (np.uint32(checked_seed(seed, WORD)), np.asarray(index, np.int32)) + (
            () if cond is None else (dict(cond),)
        )
        return self.program(self.weights, *arguments)


def load_sampler(path: str | Path) -> Sampler:
    """The sampler in a file that `export_sampler` wrote, its weights on the default device.

    Checksums, names, shapes and sizes are compared before weights are read. Raises FileNotFoundError where there is no file,
    ValueError, naming the part, for one that is damaged, of another format, whose program and weights do not belong
    together, whose weights are not finite, or whose program calls out of XLA.
    """
    path = Path(path)
    with within(path, FIX):
        with within(META):
            meta, info = _described(parsed(read_part(path, META, 2**24)))
        program = _program(read_part(path, PROGRAM, LIMIT))
        shapes = _weights(program, meta)
        arrays = read_npz(
            path, shapes={name: shape for name, (shape, _) in shapes.items()}, beside=(README, META, PROGRAM)
        )
        for name, array in arrays.items():
            if array.dtype != shapes[name][1]:
                raise malformed(name, array.dtype.name, f"{shapes[name][1].name}, as the program has it")
            if not np.isfinite(array).all():
                raise malformed(name, "NaN or infinite numbers", "finite weights")
    return Sampler(jax.jit(program.call), jax.device_put(arrays), dict(meta), info)


def _described(values: Any) -> tuple[dict[str, Any], DataInfo]:
    """meta.json and what its images are. Raises ValueError, naming the field, for what `export_sampler` does not write."""
    if isinstance(values, Mapping) and values.get("format", FORMAT) != FORMAT:
        raise malformed("format", values["format"], f"format {FORMAT}", "use the jaxdiff that wrote it")
    meta = fields(values, KINDS)
    if unknown := sorted({*meta} - {*KINDS}):
        raise malformed("fields", unknown, ", ".join(KINDS))
    if not set(meta["platforms"]) <= {*PLATFORMS, "rocm"}:
        raise malformed("platforms", meta["platforms"], f"some of {', '.join(PLATFORMS)}")
    fields(meta["result"], {"units": Literal["data", "model"]}, "result")
    fields(meta["solver"], {"type": str}, "solver")
    fields(meta["network"], {"type": str, "num_classes": int}, "network", optional=["num_classes"])
    for name, least in (("calls", 1), ("checkpoint", 0)):
        if meta[name] is not None and meta[name] < least:
            raise malformed(name, meta[name], f"{least} or more")
    if not meta["grid"] or any(one >= other for one, other in pairwise(meta["grid"])):
        raise malformed("grid", meta["grid"], "numbers that rise")
    info = DataInfo.from_json({name: value for name, value in meta["images"].items() if name != "shape"})
    normaliser = meta["normaliser"]
    if isinstance(normaliser.get("map"), Mapping):  # a person's own is in the program, and only named here
        fields(normaliser["map"], {"type": str}, "normaliser.map")
        normaliser = {**normaliser, "map": "linear"}
    if (channels := Normaliser.from_json(normaliser).channels) != info.channels:
        raise malformed("normaliser channels", channels, f"{info.channels}, as of images")
    check_class_names(meta["network"], info, "images.class_names")
    if meta["network"]["type"] in (DiT.__name__, UNet.__name__):
        from_plain(meta["network"], [DiT, UNet], "network")
    return meta, info


def _program(data: bytes) -> jax_export.Exported:
    try:
        program = jax_export.deserialize(bytearray(data))
        text = program.mlir_module()
    except Exception as error:  # flatbuffers and MLIR have no errors of their own for bytes that are no program
        raise malformed(PROGRAM, f"{len(data)} bytes that are none", "a program of jax.export") from error
    calls = set(re.findall(r'custom_call @"?([\w.$-]+)', text)) | set(re.findall(r'call_target_name = "([^"]*)"', text))
    if foreign := sorted(calls - CALLS):
        raise malformed(f"{PROGRAM}: custom calls", foreign, "a program that stays inside XLA", "do not run this file")
    return program


def _weights(program: jax_export.Exported, meta: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of each weight that the program takes. Raises ValueError where meta.json says other things."""
    arguments, options = jax.tree.unflatten(program.in_tree, program.in_avals)
    if options or len(arguments) not in (3, 4) or not isinstance(arguments[0], dict) or len(program.out_avals) != 1:
        raise malformed(PROGRAM, "other arguments or results", "weights, seed, index and perhaps cond; images")
    weights = {name: (tuple(aval.shape), np.dtype(aval.dtype)) for name, aval in arguments[0].items()}
    total = sum(int(np.prod(shape, dtype=object)) for shape, _ in weights.values())
    result = program.out_avals[0]
    kinds = {name: jax.tree.map(dtype_and_shape, one) for name, one in zip(("seed", "index", "cond"), arguments[1:])}
    for name, stored, actual in (
        ("arguments", {**meta["arguments"], "weights": None}, {"weights": None, **kinds}),
        ("result", {**meta["result"], "units": None}, {**dtype_and_shape(result), "units": None}),
        ("calling_convention", meta["calling_convention"], program.calling_convention_version),
        ("parameters", meta["parameters"], total),
        ("images.shape", meta["images"].get("shape"), list(result.shape[1:])),
        ("platforms", sorted(meta["platforms"]), sorted(program.platforms)),
    ):
        if stored != actual:
            raise malformed(f"{META}: {name}", stored, f"{actual}, as the program has it")
    return weights
