"""A whole sampler as one file that runs without this package, on CPU, CUDA and TPU.

The file is a zip of parts that execute nothing: the program as StableHLO (`sampler.stablehlo`, written by `jax.export`),
the network's weights as .npy files, `meta.json` and a README with the lines of Python that call it.

    images = sampler(weights, seed, index[, cond])

index: (b,) int32, which images; image i is the one that `model.sample` draws from `jax.random.key(seed)` at position i.
b is free: JAX compiles the program once for each b it meets. Weights are arguments of the program, not constants in
it, so that the program is small, several b share one copy in memory, and a model of any size can be written.
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from jaxdiff.denoiser import Bound, Denoiser
from jaxdiff.interop.export_readme import readme
from jaxdiff.model import Model
from jaxdiff.nn.condition import expected
from jaxdiff.plain import to_plain
from jaxdiff.sampling.arguments import check_span, checked_grid
from jaxdiff.sampling.program import program
from jaxdiff.sampling.solve import on_rows
from jaxdiff.training.leaves import named

PLATFORMS = ("cpu", "cuda", "tpu")
FORMAT = 1


def export_sampler(
    model: Model,
    path: str | Path,
    *,
    calls: int | None = None,
    solver: Any = None,
    grid: np.ndarray | None = None,
    guidance: float | Callable[[Denoiser], Denoiser] = 1.0,
    units: Literal["data", "model"] = "data",
    platforms: Sequence[str] = PLATFORMS,
) -> dict[str, Any]:
    """Writes the sampler of `model` to `path`, a .zip.

    Args:
        model: from `jd.load`.
        path: a .zip that does not exist.
        calls: as in `Model.sample`.
        solver: as in `Model.sample`.
        grid: as in `Model.sample`.
        guidance: as in `Model.sample`.
        units: of the images, those of the data or the network's own.
        platforms: of "cpu", "cuda", "tpu", "rocm"; attention becomes plain XLA, which all of them have.

    Returns:
        What its `meta.json` says.

    Raises:
        ValueError: for a path that exists or is no .zip, a grid that does not rise, guidance without classes, a platform that
            JAX does not know, or where flatbuffers, which `jax.export` writes with, is missing; nothing is left then.
    """
    path = Path(path)
    _check(path, platforms, units, guidance, model)
    solver = model.solver if solver is None else solver
    grid = checked_grid(
        model.grid(model.calls_of(solver) if calls is None else calls, solver) if grid is None else grid
    )
    check_span(model.denoise, solver)
    solve = on_rows(solver, grid)
    denoise = portable(model.guided(guidance))
    arrays, functions = eqx.partition(denoise, eqx.is_array)
    names, tree = list(named(arrays)), jax.tree.structure(arrays)

    def sampler(weights, seed, index, *cond):
        leaves = [weights[f"weights/{name}"] for name in names]
        denoise = eqx.combine(jax.tree.unflatten(tree, leaves), functions)
        # Seeds are plain numbers: a typed key would need JAX's word on how it is stored.
        key = jax.random.key(seed, impl="threefry2x32")
        images = (index, cond[0] if cond else None, None)
        z = program(solve, denoise, key, images, None, model.shape, jnp.dtype(jnp.float32))[0].image
        return model.normaliser.inverse(z) if units == "data" else z

    with jax.enable_x64(False), _without_places():
        weights = {f"weights/{name}": _stored(name, leaf) for name, leaf in named(arrays).items()}
        (b,) = jax_export.symbolic_shape("b")
        arguments = _arguments(model.network, model.shape, b)
        shapes = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in weights.items()}
        exported = jax_export.export(jax.jit(sampler), platforms=tuple(platforms))(shapes, *arguments.values())
    meta = {
        "format": FORMAT,
        "versions": {name: importlib.metadata.version(name) for name in ("jaxdiff", "jax", "jaxlib")},
        "calling_convention": exported.calling_convention_version,
        "platforms": list(exported.platforms),
        "arguments": {"weights": "weights/*.npy, by name"}
        | {k: jax.tree.map(dtype_and_shape, v) for k, v in arguments.items()},
        "result": {**dtype_and_shape(exported.out_avals[0]), "units": units},
        "calls": solve.calls,
        "grid": grid.tolist(),
        "solver": _described(solver),
        "guidance": type(denoise).__name__ if callable(guidance) else float(guidance),
        "network": to_plain(model.network),
        "parameters": int(sum(leaf.size for leaf in weights.values())),
        "checkpoint": model.step,
        "images": {**model.info.replace(synthetic=True).to_json(), "shape": list(model.shape)},
        "normaliser": model.normaliser.to_json(),
    }
    parts = {
        "README.md": readme(path.name, meta).encode(),
        "meta.json": json.dumps(meta, indent=1).encode(),
        "sampler.stablehlo": bytes(exported.serialize()),
    }
    _write(path, parts, weights)
    return meta


def portable(denoise: Denoiser) -> Denoiser:
    """The denoiser, its networks with plain XLA attention: cuDNN's is for CUDA alone. Says so where something changes."""

    def plain(part):
        if getattr(getattr(part, "network", None), "attention_implementation", None) != "cudnn":
            return part
        warnings.warn("the exported sampler has plain XLA attention instead of the network's cuDNN", stacklevel=2)
        return dataclasses.replace(part, network=part.network.clone(attention_implementation=None))

    return jax.tree.map(plain, denoise, is_leaf=lambda part: isinstance(part, Bound))


@contextlib.contextmanager
def _without_places():
    """Keeps the files and lines of this machine out of the program: they say where somebody works, and nothing else."""
    options = {"jax_include_full_tracebacks_in_locations": False, "jax_hlo_source_file_canonicalization_regex": ".*"}
    before = {name: getattr(jax.config, name) for name in options}
    try:
        for name, value in options.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _check(path: Path, platforms: Sequence[str], units: str, guidance: Any, model: Model) -> None:
    if path.suffix != ".zip":
        raise ValueError(f"got {path}; expected a name that ends in .zip; to fix: {path.with_suffix('.zip')}")
    if path.exists():
        raise ValueError(f"got {path}, which exists; expected a new file; to fix: remove it or choose another name")
    choices = (*PLATFORMS, "rocm")
    if not platforms or not set(platforms) <= set(choices):
        raise ValueError(
            f"got platforms {list(platforms)}; expected some of {', '.join(choices)}; to fix: choose of these"
        )
    if units not in ("data", "model"):
        raise ValueError(f"got units={units!r}; expected 'data' or 'model'")
    if not callable(guidance) and guidance != 1.0 and not model.classes:
        raise ValueError(f"got guidance={guidance} for a model without classes; expected 1; to fix: leave it out")
    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError(
            "got no flatbuffers; expected it installed, jax.export writes with it; to fix: pip install 'jaxdiff[export]'"
        )


def _arguments(network: Any, shape: tuple[int, ...], b: Any) -> dict[str, Any]:
    """Shapes of seed, index and, where the network has conditions, cond; `b` images."""
    arguments: dict[str, Any] = {
        "seed": jax.ShapeDtypeStruct((), np.uint32),
        "index": jax.ShapeDtypeStruct((b,), np.int32),
    }
    read = expected(network, b, shape[:-1])
    if cond := {name: one for name, one in read.items() if name != "span"}:  # a span is told by the solver
        arguments["cond"] = cond
    return arguments


def _stored(name: str, leaf: Any) -> np.ndarray:
    """The leaf as the program takes it, float64 as float32."""
    leaf = np.asarray(leaf)
    if leaf.dtype.kind not in "biuf":
        raise ValueError(
            f"got weights {name} of dtype {leaf.dtype}; expected one that NumPy itself can store; to fix: keep parameters "
            "in float32 (the network's dtype is that of its arithmetic)"
        )
    return np.asarray(leaf, jax.dtypes.canonicalize_dtype(leaf.dtype), order="C")


def _described(solver: Any) -> dict[str, Any]:
    try:
        return to_plain(solver)
    except ValueError:  # a person's own, with fields that JSON does not have
        return {"type": type(solver).__name__}


def dtype_and_shape(aval: Any) -> dict[str, Any]:
    """Dtype and shape of an argument or a result, as meta.json has them."""
    return {"dtype": np.dtype(aval.dtype).name, "shape": [n if isinstance(n, int) else str(n) for n in aval.shape]}


def _write(path: Path, parts: dict[str, bytes], arrays: dict[str, np.ndarray]) -> None:
    """The zip, whole or not at all; stored, not packed, with a fixed date: the same sampler is the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "x") as file:
            for name, data in parts.items():
                file.writestr(zipfile.ZipInfo(name), data)
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                file.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getbuffer())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
