"""Checkpoints of a run: written in the background by Orbax, complete or absent, verified when read.

A checkpoint `RUN/checkpoints/STEP/` holds four items: `params` and `ema` (so that sampling reads one of them only),
`rest` (optimiser and counters) and `meta` (JSON: key, loader position, config, normaliser, environment, and a CRC-32 of
every leaf: Orbax has checksums of its indices but not of all that it stores, and a flipped bit would train on). Leaves
are read back whole, as NumPy arrays, hence on any number of devices and hosts, and reading runs no code. All hosts write
together, each its parts of what is cut among them, into a folder that all of them see.
"""

import contextlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxdiff.training import hosts
from jaxdiff.training.leaves import checksums, merged, mismatches
from jaxdiff.training.quiet import quiet_orbax
from jaxdiff.training.restore import ITEMS, CheckpointError, Damaged, one_line, read_checkpoint, seal, steps
from jaxdiff.training.state import TrainState

MARGIN = 10e6
"""Bytes of free space beside a checkpoint, below which a disk counts as full."""


class Checkpoints:
    """The checkpoints of one run, for the process that trains it. Close it, or use it as a context manager."""

    def __init__(self, folder: str | Path, keep: int = 3, keep_every: int | None = None):
        """`keep` newest ones stay, and for ever those whose step is a multiple of `keep_every`.

        Raises CheckpointError for a checkpoint that holds a pipe, a device or endless brackets in the place of its
        description.
        """
        quiet_orbax()
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        for step in steps(self.folder):
            path = self.folder / str(step) / "_CHECKPOINT_METADATA"
            if path.exists() and not path.is_file():  # Orbax reads it at once, and would wait for a pipe
                raise CheckpointError(f"got {path}, which is no file; expected one; to fix: remove {path.parent}")
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, keep_period=keep_every, cleanup_tmp_directories=True)
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except RecursionError as error:
            raise CheckpointError(
                f"got a _CHECKPOINT_METADATA nested without end in {self.folder}; expected what Orbax wrote; to fix: remove "
                "the checkpoint that it is in"
            ) from error
        self._newest = max(steps(self.folder), default=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def save(self, state: TrainState, meta: dict[str, Any], *, wait: bool = False) -> None:
        """Copy the state to the host and write it in the background (`wait`: before returning); once a step.

        Raises CheckpointError where this or the previous write failed; earlier checkpoints are untouched then.
        """
        step = int(state.step)
        if step != self._newest:
            self.check_space(state)
            tree = _items(_on_host(flax.serialization.to_state_dict(state)))
            sealed = seal(meta, merged(hosts.gathered(checksums(tree))))
            items = {name: ocp.args.StandardSave(tree[name]) for name in ITEMS}
            with self._explained():
                self._manager.save(step, args=ocp.args.Composite(**items, meta=ocp.args.JsonSave(sealed)), force=True)
            self._newest = step
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns when everything is on disk. Raises CheckpointError where the write failed."""
        with self._explained():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        """Finish writing and release the threads."""
        with self._explained():
            self._manager.close()

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """(state, meta) of the newest readable checkpoint; None where there is none at all.

        `like`: a state of the same structure (arrays or shapes). A damaged checkpoint is reported, set aside as
        `damaged-STEP` and the one before it is used. Raises CheckpointError where none is readable or the leaves are
        not those of `like`.
        """
        stored, damaged = steps(self.folder), []
        for step in reversed(stored):
            try:
                tree, meta = read_checkpoint(self.folder / str(step))
                break
            except Damaged as error:
                damaged.append((step, error))
        else:
            if not stored:
                return None
            raise CheckpointError(
                f"got {len(stored)} checkpoints in {self.folder}, all damaged (the newest: {damaged[0][1]}); expected "
                "one that can be read; to fix: restore the folder from a backup, or train under another name"
            )
        hosts.wait(f"read checkpoint {step}")
        for bad, error in (
            damaged if hosts.leader() else ()
        ):  # only now: with nothing to go back to, all of them stay where they are
            aside = _set_aside(self.folder / str(bad))
            warnings.warn(f"checkpoint {bad} is damaged ({error}); kept as {aside}, going back to {step}", stacklevel=2)
        if damaged:
            hosts.wait("set damaged checkpoints aside")
            self._manager.reload()
        self._newest = step

        expected = flax.serialization.to_state_dict(like)
        # A checkpoint without power-function averages, or of before there were any, has no entry for them.
        tree = {"power_ema": {}, **tree["rest"], "params": tree["params"], "ema": tree["ema"]}
        if lines := mismatches(expected, tree):
            raise CheckpointError(
                f"got checkpoint {self.folder / str(step)} with other leaves:\n  "
                + "\n  ".join(lines)
                + "\nexpected those "
                "of this network and optimiser; to fix: use the versions it was written with, or start a new run with "
                "--init-from"
            )
        state: Any = flax.serialization.from_state_dict(like, tree)
        return state, meta

    def check_space(self, state: TrainState) -> None:
        """Raises CheckpointError unless there is room for one more checkpoint, with a margin for logs and pictures."""
        need = 1.25 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise CheckpointError(
                f"got {free / 1e6:.1f} MB of free space for {self.folder}; expected {need / 1e6:.1f} MB for the next "
                "checkpoint; to fix: free some space and run the same command again, it continues from "
                f"{self.newest()}"
            )

    def newest(self) -> str:
        """Where resuming starts, in words: "step 300"."""
        stored = steps(self.folder)
        return f"step {max(stored)}" if stored else "the start"

    @contextlib.contextmanager
    def _explained(self):
        """Turns what Orbax's threads raise into a CheckpointError that says where the run stands."""
        try:
            yield
        except Exception as error:
            raise CheckpointError(
                f"got an error while writing a checkpoint to {self.folder} ({one_line(error)}); expected to write "
                "there; to fix: check free space and permissions and run the same command again, it continues from "
                f"{self.newest()}"
            ) from error


def _items(state: dict[str, Any]) -> dict[str, Any]:
    # Without averages there is no entry for them: an empty one would be one more thing that no checksum covers.
    left_out = ("params", "ema") if state["power_ema"] else ("params", "ema", "power_ema")
    rest = {name: value for name, value in state.items() if name not in left_out}
    return {"params": state["params"], "ema": state["ema"], "rest": rest}


def _on_host(tree: Any) -> Any:
    """NumPy arrays; those of which other hosts hold parts as they are."""
    leaves, structure = jax.tree.flatten(tree)
    spread = {i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array) and not _whole(leaf)}
    fetched = jax.device_get([None if i in spread else leaf for i, leaf in enumerate(leaves)])
    return structure.unflatten(leaf if i in spread else np.asarray(fetched[i]) for i, leaf in enumerate(leaves))


def _whole(leaf: jax.Array) -> bool:
    return leaf.is_fully_addressable or leaf.is_fully_replicated


def _set_aside(folder: Path) -> Path:
    target, n = folder.with_name(f"damaged-{folder.name}"), 1
    while target.exists():
        target, n = folder.with_name(f"damaged-{folder.name}-{n}"), n + 1
    folder.rename(target)
    return target
