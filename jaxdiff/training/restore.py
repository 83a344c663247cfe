"""Reading checkpoints: which are complete, whether they hold what was written, and the parameters alone."""

import json
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxdiff.durable import read_json
from jaxdiff.schema import fields
from jaxdiff.training import leaves as of_leaves
from jaxdiff.training.quiet import quiet_orbax

ITEMS = ("params", "ema", "rest")


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none could be read."""


class Damaged(Exception):
    """One checkpoint cannot be read, or is not what was written."""


def steps(folder: str | Path) -> list[int]:
    """Steps of the completely written checkpoints in a run's `checkpoints` folder, rising."""
    return sorted(ocp.utils.checkpoint_steps(folder)) if Path(folder).is_dir() else []


def seal(meta: Any, leaves: dict[str, int]) -> dict[str, Any]:
    """What is written as `meta`: the JSON values themselves, with checksums of them and of the leaves."""
    return {"meta": meta, "leaves": leaves, "crc": zlib.crc32(json.dumps([meta, leaves], sort_keys=True).encode())}


def read_checkpoint(
    folder: Path, items: tuple[str, ...] = ITEMS, like: Any = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """({item: tree of NumPy arrays}, meta) of one checkpoint folder, every leaf verified. Raises Damaged.

    like: shapes and dtypes of each item, compared before its arrays are read. Raises ValueError, naming the leaves, for
    others.
    """
    quiet_orbax()
    # Orbax would wait for a pipe, and read a device without end.
    if odd := next((path for path in sorted(folder.rglob("*")) if not path.is_file() and not path.is_dir()), None):
        raise Damaged(f"{odd.relative_to(folder)} is no file")
    try:
        sealed = fields(read_json(folder / "meta" / "metadata"), {"leaves": dict[str, Any], "crc": int, "meta": Any})
        meta, leaves = sealed["meta"], sealed["leaves"]
        intact = sealed == seal(meta, leaves)
        tree = {name: _arrays(folder / name, like) for name in items}
        wrong = of_leaves.wrong(tree, {name: crc for name, crc in leaves.items() if name.split("/")[0] in items})
    except Other as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # whatever a broken file makes the readers raise
        raise Damaged(one_line(error)) from error
    if wrong or not intact:
        raise Damaged(
            f"wrong checksum of {wrong[0] if wrong else 'meta'}" + f" and {len(wrong) - 1} more" * (len(wrong) > 1)
        )
    return tree, meta


class Other(Exception):
    """A checkpoint of other leaves than those that are asked for."""


def _arrays(folder: Path, like: Any = None) -> Any:
    """An item's arrays, whole and on the host, on however many devices they lay when they were written."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        stored = reader.metadata(folder).item_metadata.tree
        if like is not None and (lines := of_leaves.mismatches(like, stored)):
            raise Other(of_leaves.not_the_networks(f"checkpoint {folder}", lines))
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
        return jax.tree.map(np.asarray, reader.restore(folder, restore_args=restore_args))


def one_line(error: BaseException) -> str:
    """Both ends of an error's text; TensorStore's run to kilobytes, with the reason behind the paths."""
    text = " ".join(str(error).split()).split(" [")[0] or repr(error)
    return text if len(text) <= 200 else f"{text[:80]} ... {text[-110:]}"


def restore_params(run_dir: str | Path, step: int | None = None, *, ema: bool = True) -> dict[str, Any]:
    """The network's variables of a run, NumPy arrays: the moving average, or with `ema=False` the raw parameters.

    step: which checkpoint; None is the newest readable one (a damaged newer one is reported by a warning). Needs one
    device, whatever wrote it. Raises FileNotFoundError where there is none, CheckpointError where it is damaged.
    """
    return restore_step(run_dir, step, ema=ema)[1]


def restore_step(
    run_dir: str | Path, step: int | None = None, *, ema: bool = True, like: Any = None
) -> tuple[int, dict[str, Any]]:
    """The step that `restore_params` reads, and what it returns.

    like: the variables' shapes and dtypes. Raises ValueError, naming the leaves, for a checkpoint of others.
    """
    folder = Path(run_dir).absolute() / "checkpoints"
    stored = steps(folder)
    if not stored or (step is not None and step not in stored):
        raise FileNotFoundError(
            f"got no checkpoint{'' if step is None else f' of step {step}'} in {folder}; expected one of "
            f"{stored or 'at least one'}; to fix: "
            + ("choose a step from this list" if stored else "train the run first")
        )
    item, newest = "ema" if ema else "params", None
    for candidate in [step] if step is not None else stored[::-1]:
        try:
            return candidate, read_checkpoint(folder / str(candidate), (item,), like)[0][item]
        except Damaged as error:
            if step is not None:
                raise CheckpointError(
                    f"got a damaged checkpoint {folder / str(step)} ({error}); expected a whole one; "
                    f"to fix: use another step of {stored}"
                ) from error
            newest = newest or error
            warnings.warn(f"checkpoint {candidate} of {run_dir} is damaged ({error}); using an older one", stacklevel=2)
    raise CheckpointError(
        f"got only damaged checkpoints in {folder} (the newest: {newest}); expected a whole one; to fix: train the run again"
    )
