"""`jd.save_run`: the state of one's own training loop as a run folder, which `jd.load` and every command read."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing
from jaxdiff.durable import write_json
from jaxdiff.lock import is_lock, only_writer
from jaxdiff.process.schedules import Schedule
from jaxdiff.training import hosts
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.environment import environment
from jaxdiff.training.leaves import check_variables, variable_shapes
from jaxdiff.training.restore import steps
from jaxdiff.training.run_folder import check_class_names, describe, read_run
from jaxdiff.training.sharding import on_one_device
from jaxdiff.training.state import TrainState
from jaxdiff.training.stored_config import OwnLoop, check_round_trip


def save_run(
    state: TrainState,
    network: Any,
    folder: str | Path,
    *,
    shape: Sequence[int],
    predicts: Any,
    schedule: Schedule,
    sigma_data: float = 1.0,
    info: DataInfo | None = None,
    normaliser: Normaliser | None = None,
    pairing: Pairing | None = None,
    levels: Levels | None = None,
    keep: int = 3,
) -> Path:
    """Writes the state of a training loop of one's own as a checkpoint of a run folder, which `jd.load(folder)` reads.

    Nothing is invented: `shape`, `predicts` and `schedule` cannot be known from parameters, and without `info` and
    `normaliser` the model's images are float32 in the units that the loop trained in, of unknown pixel size. Called again
    after more steps it adds a checkpoint. Returns when everything is on disk; of several hosts each calls it.

    Args:
        state: as `TrainState.create` made it and the steps left it. Parameters of a loop without one:
            `state.with_params(variables)`, for a state that was created from the same network.
        network: the Linen module; one of a person's own is loaded with `jd.load(folder, allow=...)`.
        folder: the run folder, new or of an earlier step of the same loop.
        shape: (*spatial, channels) of an image as the network sees it.
        predicts: what the network's output means, as for `jd.bind`.
        schedule: the noise levels that were trained on; default grids of sampling lie between its ends.
        sigma_data: EDM's, read by the prediction "F" only.
        info: axes, channel names, pixel size and dtype of the images; default unknown, float32.
        normaliser: from the images' units to those of the loop, for the way back; default none, the units are the same.
        pairing: of a conditional task, what the condition is.
        levels: grey levels of the training images, which restoration compares with.
        keep: newest checkpoints that stay.

    Returns:
        The folder.

    Raises:
        ValueError: for what could not be loaded again: another network than the state's, parameters that are not the
            network's or not finite, parts that contradict each other or have no plain form; for a folder of something else,
            and for a step that is not after those saved. Nothing is written then.
        CheckpointError: where the disk is full or cannot be written.
    """
    folder, shape = Path(folder), tuple(int(n) for n in shape)
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(f"got shape={shape}; expected y x channels or z y x channels; to fix: shape=(64, 64, 1)")
    if not isinstance(state, TrainState) or state.network != network:
        other = "another network than the state's" if isinstance(state, TrainState) else f"a {type(state).__name__}"
        raise ValueError(
            f"got {other}; expected a TrainState of this network; to fix: TrainState.create(key, network, ...), and "
            "state.with_params(variables) for parameters that were trained without one"
        )
    info = info or DataInfo(
        axes="YXC" if len(shape) == 3 else "ZYXC", channel_names=tuple(map(str, range(shape[-1]))), dtype="float32"
    )
    if normaliser is None:
        zeros, ones = (0.0,) * shape[-1], (1.0,) * shape[-1]
        normaliser = Normaliser("linear", zeros, ones, zeros, ones)
    if len(info.axes) != len(shape) or {info.channels, normaliser.channels} != {shape[-1]}:
        raise ValueError(
            f"got shape={shape} for axes {info.axes}, {info.channels} channels of info and {normaliser.channels} of the "
            "normaliser; expected the same axes and channels; to fix: give those of the training images"
        )
    parts: dict[str, Any] = {"schedule": schedule, "pairs": None if pairing is None else pairing.pairs}
    loop = OwnLoop(network=network, predicts=predicts, sigma_data=sigma_data, patch=shape[:-1], **parts)
    check_round_trip(loop)
    check_class_names(network, info)
    like = variable_shapes(network, shape)
    step = int(state.step)
    for name in ("params", "ema"):
        check_variables(like, _whole(getattr(state, name)), f"{name} of the state at step {step}")
    description = describe(loop, info, normaliser, pairing, levels)
    with contextlib.ExitStack() as stack:
        if hosts.leader():
            stack.enter_context(only_writer(folder))
        hosts.wait("the run folder is locked")
        _check_folder(folder, description, step)
        hosts.wait("all have looked at the run folder")
        if hosts.leader():
            write_json(folder / "run.json", description)
        hosts.wait("the run folder is there")
        checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", keep))
        checkpoints.save(state, {"step": step, "environment": environment()}, wait=True)
    return folder


def _whole(tree: Any) -> Any:
    """NumPy arrays, of every host's parts."""
    return jax.tree.map(np.asarray, tree if jax.process_count() == 1 else on_one_device(tree))


def _check_folder(folder: Path, description: dict[str, Any], step: int) -> None:
    """Raises ValueError for a folder of something else than earlier steps of this loop."""
    if not (folder / "run.json").exists():
        if folder.exists() and not all(map(is_lock, folder.iterdir())):
            raise ValueError(
                f"got the folder {folder}, which is not empty and holds no run.json; expected a run folder or none; to "
                "fix: choose another folder"
            )
        return
    stored = read_run(folder)
    plain = json.loads(json.dumps(description))
    if names := sorted(name for name in plain if name != "jaxdiff" and plain[name] != stored.get(name)):
        raise ValueError(
            f"got the folder {folder}, of another run: it differs in {', '.join(names)}; expected a new folder, or one of "
            "the same loop; to fix: choose another folder"
        )
    if saved := [one for one in steps(folder / "checkpoints") if one >= step]:
        raise ValueError(
            f"got step {step} for {folder}, which holds step {saved[-1]}; expected a later one; to fix: save after more "
            "steps, or in another folder"
        )
