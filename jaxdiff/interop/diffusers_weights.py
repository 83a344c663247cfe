"""Weights of diffusers' `UNet2DModel`: from safetensors to the variables of `DiffusersUNet`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from jaxdiff.interop.diffusers_unet import DiffusersUNet

FILE = "diffusion_pytorch_model.safetensors"
FLOATS = ("float16", "bfloat16", "float32", "float64")
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out_0": "proj_attn"}
"""What attention's matrices were called in files of before 2023."""


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The state dict in a folder, as NumPy arrays.

    Raises FileNotFoundError without a safetensors file, ImportError without the package that reads it (an extra), and
    ValueError for a file that cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"got {folder} without {FILE}; expected the weights as one safetensors file (pickled .bin files are never "
            "opened, since that would run their code); to fix: save_pretrained(folder, safe_serialization=True)"
        )
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError("got no safetensors; to fix: pip install 'jaxdiff[diffusers]'") from error
    try:
        arrays = load_file(path)
        if other := [name for name, array in arrays.items() if array.dtype.name not in FLOATS]:
            raise ValueError(f"{other[0]} is of dtype {arrays[other[0]].dtype}")
        return arrays
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(f"got an unreadable {path} ({error}); expected safetensors; to fix: fetch it again") from error


def shapes_of(network: DiffusersUNet) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Names and shapes of the network's variables; nothing is computed. Raises what a network raises that cannot be."""
    size = 2 ** (len(network.block_out_channels) - 1)
    x, cond = jax.ShapeDtypeStruct((1, size, size, network.in_channels), jnp.float32), None
    if network.num_class_embeds is not None:
        cond = {"label": jnp.zeros(1, jnp.int32)}
    expected = jax.eval_shape(network.init, jax.random.key(0), x, jnp.zeros(1), cond)
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    return {tuple(part.key for part in path): leaf.shape for path, leaf in leaves}


def params_of(shapes: Mapping[tuple[str, ...], tuple[int, ...]], weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Flax variables of these shapes from a state dict of diffusers.

    Raises ValueError for tensors missing, left over, of other shape, and with numbers that are not finite.
    """
    by_name = {name.replace(".", "_"): array for name, array in weights.items()}
    if len(by_name) < len(weights):
        raise ValueError("got weights of one name twice; expected each once; to fix: take another copy of the model")
    matched = {path: _find(by_name, path[1:]) for path in shapes}
    missing = ["_".join(path[1:]) for path, array in matched.items() if array is None]
    wrong = [
        f"{'_'.join(path[1:])} {array.shape} for {shapes[path]}"
        for path, array in matched.items()
        if array is not None and array.shape != shapes[path]
    ]
    for what, names in (("without", missing), ("with other shapes:", wrong), ("with unknown", sorted(by_name))):
        if names:
            raise ValueError(
                f"got weights {what} {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}; "
                "expected those of the network in config.json; to fix: take both files from the same model"
            )
    arrays = {path: np.asarray(array, np.float32) for path, array in matched.items()}
    if bad := ["_".join(path[1:]) for path, array in arrays.items() if not np.isfinite(array).all()]:
        raise ValueError(
            f"got weights with NaN or infinite numbers in {', '.join(bad[:4])}{f' and {len(bad) - 4} more' * (len(bad) > 4)}"
            "; expected finite ones; to fix: take another copy of the model"
        )
    return unflatten_dict({path: jnp.asarray(array) for path, array in arrays.items()})


def _find(by_name: dict[str, np.ndarray], path: tuple[str, ...]) -> np.ndarray | None:
    """The array for a parameter, in our layout, taken out of `by_name`; None where there is none."""
    if "to_qkv" in path:
        each = (_find(by_name, tuple(name if n == "to_qkv" else n for n in path)) for name in ("to_q", "to_k", "to_v"))
        parts = [part for part in each if part is not None]
        return np.concatenate(parts, axis=-1) if len(parts) == 3 else None
    *owners, leaf = path
    foreign = {"kernel": "weight", "scale": "weight", "shift": "bias", "class_embedding": "class_embedding_weight"}
    names = [[*owners, foreign.get(leaf, leaf)]]
    if owners and owners[-1] in OLD_NAMES:
        names.append([*owners[:-1], OLD_NAMES[owners[-1]], foreign.get(leaf, leaf)])
    array = next((by_name.pop("_".join(name)) for name in names if "_".join(name) in by_name), None)
    if array is None or leaf != "kernel":
        return array
    if array.shape[2:] == (1, 1) and owners[-1] == "conv_shortcut":
        array = array[:, :, 0, 0]
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
